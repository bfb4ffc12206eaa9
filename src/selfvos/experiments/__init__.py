"""Experiments of many runs: trained, tracked and scored alike, resumed where they stopped."""
