"""The training loop and all it needs."""
