"""Dense unsupervised learning (NeurIPS 2021)."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, TrainConfig


@RECIPES.register("dul_resnet18")
def dul_resnet18() -> TrainConfig:
    """Return the run of the dense objective alone: clips of five frames, two list frames apart, batches of 16.

    Source:
        Araslanov et al. 2021 as in the released Mask-VOS code, whose correspondence objective it is: clips, batch,
        Adam and its schedule. 120 epochs are those of the released checkpoint. DUL matches layer4 when tracking.
    """
    dense = ObjectiveSpec(name="dul")
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", stride=8, last_stage=4, mask_path="full"),
        clips=ClipConfig(offsets=(0, 2, 4, 6, 8), frame_step=2, crop_px=256),
        warmup=PhaseConfig(epochs=120, batch_clips=16, objectives=(dense,), optimizer=OptimizerConfig()),
        joint=later_joint(dense),
        track={"feature": {"stage": "layer4"}, "refine": {"rounds": 0}},
    )
