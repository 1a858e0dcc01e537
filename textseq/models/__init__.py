"""The models, one file per task."""
