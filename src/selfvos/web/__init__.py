"""A page to draw, track, correct and export in: a server without torch, and one process that has the model."""
