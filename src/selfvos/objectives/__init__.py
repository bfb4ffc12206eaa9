"""Training signals, one paper per file."""
