"""A few minutes of learning on one's own videos, from weights that exist."""

from dataclasses import replace

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import Segmenter
from selfvos.ops.warp import CropConfig
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, TrainConfig


def adaptation(model: Segmenter) -> TrainConfig:
    """Return the run that goes on from a network: its encoder alone, at a low rate.

    V, D and the recommended tracker settings stay as they are.

    Args:
        model: The network to go on from.

    Source:
        This package's own; Mask-VOS trains once and for all. The paper's correspondence losses compare frames of one
        clip only: an objective that takes other clips for different things, as `dul` does, would be misled where all
        clips show the same video.
    """
    phase = PhaseConfig(
        epochs=1,
        steps_per_epoch=60,
        batch_clips=4,
        objectives=(ObjectiveSpec(name="l_short"), ObjectiveSpec(name="l_long")),
        optimizer=OptimizerConfig(lr=1e-4, schedule="cosine", warm_steps=5, betas=(0.9, 0.999)),
    )
    return TrainConfig(
        model=model.config,
        clips=ClipConfig(offsets=(0, 1, 2, 8), frame_step=1, crop_px=224, crop=CropConfig(max_short_side=1.25)),
        warmup=phase,
        joint=replace(phase, epochs=0),
        checkpoint_steps=20,
        picture_steps=100_000,
        track=model.notes.track,
    )
