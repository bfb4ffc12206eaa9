"""Contrastive learning of temporal correspondence with mined samples (CVPR 2021)."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, TrainConfig


@RECIPES.register("cltc_resnet18")
def cltc_resnet18() -> TrainConfig:
    """Return a run of mined contrast on clips of four neighbouring frames.

    Source:
        Jeon et al. 2021: ResNet-18 on YouTube-VOS. Its clips, batch, epochs and optimiser are not known here; those
        of `mask_vos_resnet18` stand in, so that the two compare.
    """
    mined = ObjectiveSpec(name="cltc")
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", stride=8, last_stage=4, mask_path="full"),
        clips=ClipConfig(offsets=(0, 1, 2, 3), frame_step=2, crop_px=256),
        warmup=PhaseConfig(epochs=120, batch_clips=16, objectives=(mined,), optimizer=OptimizerConfig()),
        joint=later_joint(mined),
        track={"refine": {"rounds": 0}},
    )
