"""RGMP (CVPR 2018), a supervised system, trained on pseudo masks or on true ones."""

from selfvos.models.segmenter import SegmenterConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.stm import compared
from selfvos.training.settings import TrainConfig


@RECIPES.register(
    "rgmp_resnet18", about="Supervised system RGMP with ResNet-18, on pseudo masks unless true ones are given."
)
def rgmp_resnet18() -> TrainConfig:
    """Return a run of RGMP: warm-up, clusters and rates of `mask_vos_resnet18`, so that the two compare.

    Source:
        RGMP (Oh et al. 2018) for networks. Departures: ResNet-18 (``--set model.backbone=resnet50`` for the published
        one) at stride 16 (there 32); the encoder starts from correspondence, not from ImageNet labels, and goes on
        learning it; no pre-training on warped pictures.
    """
    return compared("rgmp", SegmenterConfig(backbone="resnet18", stride=16, last_stage=4, mask_path="rgmp"))
