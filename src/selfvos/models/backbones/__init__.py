"""Visual backbones, one family per file."""
