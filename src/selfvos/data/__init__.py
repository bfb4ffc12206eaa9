"""The only room that opens video and image files."""
