"""Data sets that trackers are scored on, one per file."""
