"""Pairs of a frame-mask encoder V and a mask decoder D, one pair per file."""
