"""Ways to write tracks for other programs and to read theirs, one per file."""
