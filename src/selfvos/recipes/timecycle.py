"""TimeCycle (CVPR 2019): patches tracked through time and back."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.warp import CropConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig

_TIMECYCLE = ObjectiveSpec(name="timecycle")


@RECIPES.register("timecycle_resnet50")
def timecycle_resnet50() -> TrainConfig:
    """Return TimeCycle with ResNet-50: 30 epochs; ``joint.epochs=100`` adds the mask embedding.

    Source:
        Public code (xiaolonw/TimeCycle) for optimiser, batch, epochs, crop, and clips of four frames at 6 a second
        with a target 15 frames of 12-fps video after the first. Departures: frames are resized to a short side of
        256 alike; features are tracked from layer3, before the convolution that the loss works on.
    """
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet50", last_stage=3, mask_path="full"),
        clips=ClipConfig(
            offsets=(0, 1, 2, 3, 7),
            crop_px=240,
            crop=CropConfig(min_short_side=256 / 240, max_short_side=256 / 240),
        ),
        warmup=PhaseConfig(
            epochs=30,
            batch_clips=36,
            objectives=(_TIMECYCLE,),
            optimizer=OptimizerConfig(lr=2e-4, weight_decay=0.0, bias_lr_factor=1.0),
        ),
        joint=later_joint(_TIMECYCLE),
        pseudo_masks=PseudoMaskConfig(feature="layer3"),
        track={"feature": {"stage": "layer3"}, "refine": {"rounds": 0}},
    )
