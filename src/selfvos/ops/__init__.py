"""Pure tensor functions: no files, no state, no settings but their arguments."""
