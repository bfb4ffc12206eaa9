"""Video frame-level similarity (ICCV 2021)."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig


@RECIPES.register("vfs_resnet18")
def vfs_resnet18() -> TrainConfig:
    """Return the paper's run with ResNet-18: two groups of four frames from 32 videos, 100 epochs.

    Source:
        Xu, Wang 2021, public code. Departures: Adam with a rate of 1e-3 (there: SGD, 0.05, which this trainer does
        not have); the first three of eight frames lie close together, for the sake of L_seg; an epoch passes
        over the videos once (there: twice, or five times with ResNet-50).
    """
    return _vfs(
        SegmenterConfig(backbone="resnet18", stride=8, last_stage=4, mask_path="full"),
        offsets=(0, 1, 2, 6, 10, 14, 18, 22),
        objective=ObjectiveSpec(name="vfs"),
        radius_cells=12.0,
    )


@RECIPES.register("vfs_resnet50")
def vfs_resnet50() -> TrainConfig:
    """Return the paper's run with ResNet-50: two frames from each of 32 videos, 100 epochs.

    Source:
        Xu, Wang 2021, public code; departures as in `vfs_resnet18`. Two of four frames are drawn, so that L_seg finds
        its three. The head is as wide as there, though it gets 512 channels.
    """
    settings = {"group_frames": 1, "projection_channels": 2048, "predictor_channels": 512}
    return _vfs(
        SegmenterConfig(backbone="resnet50", stride=8, last_stage=4, mask_path="full"),
        offsets=(0, 1, 2, 22),
        objective=ObjectiveSpec(name="vfs", settings=settings),
        radius_cells=18.0,
    )


def _vfs(
    model: SegmenterConfig, *, offsets: tuple[int, ...], objective: ObjectiveSpec, radius_cells: float
) -> TrainConfig:
    match = {"temperature": 0.07, "exempt_permanent": False, "radius_cells": radius_cells}
    return TrainConfig(
        model=model,
        clips=ClipConfig(offsets=offsets, frame_step=2, crop_px=256),
        warmup=PhaseConfig(
            epochs=100,
            batch_clips=32,
            objectives=(objective,),
            optimizer=OptimizerConfig(
                lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4, bias_lr_factor=1.0, clip_norm=0.0, schedule="cosine"
            ),
        ),
        joint=later_joint(objective),
        pseudo_masks=PseudoMaskConfig(feature="layer3"),
        track={"feature": {"stage": "layer3"}, "refine": {"rounds": 0}, "match": match},
    )
