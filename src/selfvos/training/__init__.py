"""Learning from unlabelled video: the loop, pseudo masks, checkpoints."""
