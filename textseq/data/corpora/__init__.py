"""Corpora by name: recipes, downloads, formats."""
