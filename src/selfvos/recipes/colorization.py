"""Colorization (ECCV 2018): grey frames, coloured from the frames before them."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.warp import CropConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig

_COLORIZATION = ObjectiveSpec(name="colorization")


@RECIPES.register("colorization_resnet18")
def colorization_resnet18() -> TrainConfig:
    """Return Colorization's run with ResNet-18: 400,000 steps of 32 clips, stride 8.

    ``--set joint.epochs=100`` joins the mask embedding; add ``--set track.refine.rounds=3`` to track with it.

    Source:
        Vondrick et al. 2018, arXiv:1806.09594 (general knowledge): 6 frames a second of 30, batch, steps, Adam.
        Departures: 1e-4 throughout, where the paper takes 1e-3 for the first 60,000 steps; ResNet-18 ends after
        layer3, whose 256 channels the paper's last stage has too. The joint phase is inferred.
    """
    optimizer = OptimizerConfig(
        lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0, bias_lr_factor=1.0, clip_norm=0.0, halve_epochs=400
    )
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", stride=8, last_stage=3, mask_path="full"),
        clips=ClipConfig(offsets=(0, 1, 2, 3), frame_step=5, crop=CropConfig(max_short_side=1.0, flip_probability=0.0)),
        warmup=PhaseConfig(
            epochs=400, steps_per_epoch=1000, batch_clips=32, objectives=(_COLORIZATION,), optimizer=optimizer
        ),
        joint=later_joint(_COLORIZATION),
        pseudo_masks=PseudoMaskConfig(feature="layer3"),
        track={"feature": {"stage": "layer3"}, "refine": {"rounds": 0}},
    )
