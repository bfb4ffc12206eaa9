"""MAST (Lai et al. 2020): ResNet-18 on Lab at stride 4.

Names [X] zlai0/MAST: ``feature_extraction.conv1.0`` and ``.1``, ``feature_extraction.layer1.0.left.0`` (convolution),
``.1`` (normalisation), ``.3``, ``.4``, ``.shortcut.0`` and ``.1``, ``post_convolution``. The file's nesting [K].
"""

import re

from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, rename
from selfvos.models.segmenter import SegmenterConfig

_IN_BLOCK = {"left.0": "conv1", "left.1": "bn1", "left.3": "conv2", "left.4": "bn2"}


@FORMATS.register("mast", about="MAST: ResNet-18 on Lab, stride 4")
def mast(state: State) -> Converted:
    """Convert MAST's encoder and the convolution behind it."""
    config = SegmenterConfig(backbone="mast-resnet18", stride=4, mask_path="none")
    return Converted(config, rename_sequential(state), "mast")


def rename_sequential(state: State) -> State:
    """Give the parts of MAST's and CorrFlow's blocks, which are numbered, the names of torchvision's."""
    renamed = rename(state, {"feature_extraction.": BACKBONE, "post_convolution.": f"{BACKBONE}embedding."})
    return {_plain(name): tensor for name, tensor in renamed.items()}


def _plain(name: str) -> str:
    name = name.replace(f"{BACKBONE}conv1.0.", f"{BACKBONE}conv1.").replace(f"{BACKBONE}conv1.1.", f"{BACKBONE}bn1.")
    name = name.replace(".shortcut.", ".downsample.")
    return re.sub(r"left\.\d", lambda found: _IN_BLOCK.get(found[0], found[0]), name)
