"""STM (ICCV 2019), a supervised system, trained on pseudo masks or on true ones."""

from dataclasses import replace

from selfvos.models.segmenter import SegmenterConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.mask_vos import mask_vos_resnet18
from selfvos.training.settings import ObjectiveSpec, TrainConfig


def compared(system: str, model: SegmenterConfig) -> TrainConfig:
    """Return the run of `mask_vos_resnet18` with the networks and the objective of another system in place of L_seg."""
    base = mask_vos_resnet18()
    others = tuple(spec for spec in base.joint.objectives if spec.name != "l_seg")
    return replace(base, model=model, joint=replace(base.joint, objectives=(ObjectiveSpec(name=system), *others)))


@RECIPES.register(
    "stm_resnet18", about="Supervised system STM with ResNet-18, on pseudo masks unless true ones are given."
)
def stm_resnet18() -> TrainConfig:
    """Return a run of STM: warm-up, clusters and rates of `mask_vos_resnet18`, so that the two compare.

    Source:
        STM (Oh et al. 2019) for networks and stride 16. Departures: ResNet-18 (``--set model.backbone=resnet50`` for
        the published one); the encoder starts from correspondence, not from ImageNet labels, and goes on learning it;
        no pre-training on warped pictures.
    """
    return compared("stm", SegmenterConfig(backbone="resnet18", stride=16, last_stage=3, mask_path="stm"))
