"""Frame in, mask out: the memory, the tracker and its presets."""
