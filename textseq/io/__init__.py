"""Files, locks, lines, documents and paths; no torch."""
