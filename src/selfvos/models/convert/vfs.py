"""VFS (Xu and Wang 2021): ResNet-18 or ResNet-50.

Names [X] xvjiarui/VFS: ``backbone.conv1``, ``backbone.layer1.0.conv1``, ``backbone.layer2.0.downsample``, each a
convolution with its normalisation. That these are called ``conv`` and ``bn`` inside, and the head ``img_head`` [K].
"""

import re

from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, rename, resnet_name
from selfvos.models.segmenter import SegmenterConfig

_PRESETS = {"resnet18": "vfs", "resnet50": "vfs-resnet50"}


@FORMATS.register("vfs", about="VFS: ResNet-18 or ResNet-50 to layer3")
def vfs(state: State) -> Converted:
    """Convert VFS's encoder to layer3; a bare backbone is one as well."""
    name = resnet_name(state)
    renamed = rename(
        state, {"backbone.": BACKBONE, "": BACKBONE}, ignored=("backbone.layer4.", "layer4.", "img_head.", "cls_head.")
    )
    return Converted(
        SegmenterConfig(backbone=name, last_stage=3, mask_path="none"),
        {_plain(old): tensor for old, tensor in renamed.items()},
        _PRESETS[name],
    )


def _plain(name: str) -> str:
    name = name.replace("downsample.conv.", "downsample.0.").replace("downsample.bn.", "downsample.1.")
    return re.sub(r"conv(\d)\.(conv|bn)\.", r"\2\1.", name)
