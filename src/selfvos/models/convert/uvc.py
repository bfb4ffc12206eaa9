"""UVC (Li et al. 2019) and ConCorr, which builds on it: ResNet-18 on lightness.

Names [X] Liusifei/UVC: ``gray_encoder.`` before torchvision's names; ``rgb_encoder.``, ``decoder.`` and ``normalize.``
rebuild colours and are left out. That ConCorr's names are the same [K]; it trained on dropped Lab channels, so that its
weights want another input than lightness: not converted here.
"""

from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, rename
from selfvos.models.segmenter import SegmenterConfig


@FORMATS.register("uvc", about="UVC: ResNet-18 on lightness")
def uvc(state: State) -> Converted:
    """Convert UVC's encoder."""
    return Converted(
        SegmenterConfig(backbone="resnet18-grey", last_stage=4, mask_path="none"),
        rename(state, {"gray_encoder.": BACKBONE}, ignored=("rgb_encoder.", "decoder.", "normalize.")),
        "uvc",
    )
