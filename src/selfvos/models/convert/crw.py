"""CRW (Jabri et al. 2020): ResNet-18 with mirrored borders.

Names [X] ajabri/videowalk: ``encoder.model.`` before torchvision's names (the 3-D wrapper around the network), and
``selfsim_fc.`` for the head on top of layer4; both are left out, as that code does where it tracks. The file's nesting
in ``model`` [K].
"""

from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, rename
from selfvos.models.segmenter import SegmenterConfig


@FORMATS.register("crw", about="CRW: ResNet-18 to layer3")
def crw(state: State) -> Converted:
    """Convert CRW's encoder to layer3."""
    return Converted(
        SegmenterConfig(backbone="resnet18-reflect", last_stage=3, mask_path="none"),
        rename(
            state, {"encoder.model.": BACKBONE}, ignored=("encoder.model.layer4.", "encoder.model.fc.", "selfsim_fc.")
        ),
        "crw",
    )
