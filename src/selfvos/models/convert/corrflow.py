"""CorrFlow (Lai and Xie 2019): MAST's network on RGB.

Names [X] zlai0/CorrFlow: those of MAST.
"""

from selfvos.models.convert.base import FORMATS, Converted, State
from selfvos.models.convert.mast import rename_sequential
from selfvos.models.segmenter import SegmenterConfig


@FORMATS.register("corrflow", about="CorrFlow: ResNet-18 on RGB, stride 4")
def corrflow(state: State) -> Converted:
    """Convert CorrFlow's encoder and the convolution behind it."""
    config = SegmenterConfig(backbone="corrflow-resnet18", stride=4, mask_path="none")
    return Converted(config, rename_sequential(state), "corrflow")
