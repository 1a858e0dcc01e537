"""Metrics. Each carries its signature: the recipe of the number."""
