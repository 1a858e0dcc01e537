"""Sentences in, translations out: from text to tokens, through the search, and back."""
