"""A training run: warm-up on correspondence, then the joint phase with pseudo masks refreshed on the way."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from selfvos.data.video_cache import VideoCache
from selfvos.errors import UsageError
from selfvos.models.precision import decide
from selfvos.models.segmenter import Segmenter
from selfvos.storage import exclusive
from selfvos.training.checkpoint import RunFacts, latest_checkpoint, require_same_videos
from selfvos.training.distributed import World, join
from selfvos.training.settings import TrainConfig
from selfvos.training.trainer import WEIGHTS, Run, Trainer
from selfvos.types import Watch, ignore

__all__ = ["WEIGHTS", "Start", "fit"]


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a run begins."""

    resume: bool = False
    """Go on from the newest whole checkpoint; without one, begin."""
    network: Segmenter | None = None
    """Network to begin with instead of random weights."""


def fit(
    config: TrainConfig,
    video_cache: VideoCache,
    run: Path,
    *,
    device: torch.device,
    start: Start | None = None,
    watch: Watch = ignore,
) -> Path:
    """Train a network and return the path of its weights.

    Args:
        config: The recipe. When a run is resumed, the settings inside its checkpoint count instead.
        video_cache: The videos.
        run: Folder of the run: settings, metrics, checkpoints, pseudo masks, weights.
        device: Where to compute.
        start: Where to begin; by default with random weights in a folder without a run.
        watch: Told of every step with its losses, and of every clustered video; asked after each.

    Raises:
        UsageError: The folder holds a run already and is not to be resumed, the run has learned from other videos,
            another process trains in it, or the settings do not fit.
        Diverged: The loss was not finite several times in a row.
        Stopped: The watch asked; a checkpoint was written before.
        OutOfSpace: The disk is full; the last checkpoint is untouched.
    """
    start = start or Start()
    with join(device) as world, exclusive(run) if world.is_main else nullcontext():
        found = latest_checkpoint(run)
        if found and not start.resume:
            raise UsageError(f"{run} holds a run already; add --resume to go on with it, or choose another folder")
        if found:
            require_same_videos(found, video_cache.identities())
        config = found.facts.config if found else config
        torch.manual_seed(config.seed)
        network = start.network or Segmenter(config.model)
        facts = RunFacts(
            config=config,
            precision=found.facts.precision if found else _precision(config.precision, world),
            videos=video_cache.identities(),
        )
        trainer = Trainer(Run(run, facts, video_cache, world), network, watch)
        try:
            if found:
                trainer.restore(found)
            return trainer.train()
        finally:
            trainer.close()


def _precision(wanted: str, world: World) -> str:
    """Take half precision where it is faster for every process: all have to compute alike."""
    return "float32" if world.any(flag=decide(wanted, world.device) == "float32") else "bfloat16"
