"""Layers of recurrent networks."""
