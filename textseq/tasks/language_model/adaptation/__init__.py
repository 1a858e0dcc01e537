"""A language model that adapts to the text it reads: dynamic evaluation and a neural cache."""
