"""ResNet-18 and ResNet-50 of torchvision: supervised on ImageNet, a baseline.

Names [K]: ``conv1``, ``bn1``, ``layer1.0.conv1`` ... ``fc``. The preset is the one that CRW's code uses for them [X].
"""

from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, rename, resnet_name
from selfvos.models.segmenter import SegmenterConfig


@FORMATS.register("torchvision", about="torchvision: ResNet-18 or ResNet-50, supervised on ImageNet")
def torchvision(state: State) -> Converted:
    """Convert a classifier; its last stage and its classifier are left out."""
    return Converted(
        SegmenterConfig(backbone=resnet_name(state), last_stage=3, mask_path="none"),
        rename(state, {"": BACKBONE}, ignored=("layer4.", "fc.")),
        "crw",
    )
