"""Networks: backbones, frame-mask encoder V, decoder D, and their composition."""
