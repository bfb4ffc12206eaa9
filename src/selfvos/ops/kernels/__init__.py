"""Fused kernels behind matching, each with a plain version beside it as its oracle."""
