"""Corpora and users' own files, splits, token files, batches, word vectors."""
