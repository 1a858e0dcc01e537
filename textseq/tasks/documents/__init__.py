"""Documents translated with their layout."""
