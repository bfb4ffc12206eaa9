"""Tracked projects: a video, what people drew on it, and its track, as page, command line and Python share them."""
