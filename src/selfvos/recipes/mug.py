"""MuG (CVPR 2020): frames, neighbours, distant frames and whole videos at once."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig

_MUG = ObjectiveSpec(name="mug")


@RECIPES.register("mug_resnet18")
def mug_resnet18() -> TrainConfig:
    """Return MuG with ResNet-18: 30 epochs; ``joint.epochs=100`` adds the mask embedding.

    Source:
        Public code (carrierlxk/MuG) for rate, decay, crop, and the defaults of 10 and 20 epochs. Batch and distances
        between frames are inferred, as is one rate for all (the code's heads learn ten times as fast); a cosine
        schedule stands in for a polynomial one.
    """
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", last_stage=4, mask_path="full"),
        clips=ClipConfig(offsets=(0, 1, 4, 12)),
        warmup=PhaseConfig(
            epochs=30,
            batch_clips=16,
            objectives=(_MUG,),
            optimizer=OptimizerConfig(
                lr=1e-4, betas=(0.9, 0.999), weight_decay=5e-3, bias_lr_factor=1.0, clip_norm=0.0, schedule="cosine"
            ),
        ),
        joint=later_joint(_MUG),
        pseudo_masks=PseudoMaskConfig(feature="layer4"),
        track={"feature": {"stage": "layer4"}, "refine": {"rounds": 0}},
    )
