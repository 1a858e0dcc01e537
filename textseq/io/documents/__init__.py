"""Documents: text files and members of archives, read in chunks or lines."""
