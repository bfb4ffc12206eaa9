"""The plugin for napari: labels of one frame in, labels of all frames out."""
