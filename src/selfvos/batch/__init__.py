"""A fleet: many videos tracked by many workers, each finished exactly once, whatever is killed on the way."""
