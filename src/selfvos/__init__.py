"""Video object segmentation learned from unlabelled video."""

__version__ = "0.1.0"
