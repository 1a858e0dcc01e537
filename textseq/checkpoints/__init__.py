"""Model folders: save, load, find by name, describe."""
