"""LIIR (Li et al. 2022): MAST's network with positions.

Names [X] shasha521/LIIR_pytorch, an unofficial code: ``feature_extraction.`` before torchvision's names and
``pos_embed1``, ``post_convolution``; ``conv_semantic``, ``conv_semantic_k`` and the queues in ``colorizer`` are for
training alone and left out.
"""

from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, rename
from selfvos.models.segmenter import SegmenterConfig

_IGNORED = ("conv_semantic.", "conv_semantic_k.", "colorizer.")


@FORMATS.register("liir", about="LIIR: ResNet-18 on Lab with positions, stride 4")
def liir(state: State) -> Converted:
    """Convert LIIR's encoder and the convolution behind it."""
    targets = {"feature_extraction.": BACKBONE, "post_convolution.": f"{BACKBONE}embedding."}
    return Converted(
        SegmenterConfig(backbone="liir-resnet18", stride=4, mask_path="none"),
        rename(state, targets, ignored=_IGNORED),
        "liir",
    )
