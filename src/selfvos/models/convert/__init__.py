"""Published checkpoints, turned into weights of this package: one format per file."""
