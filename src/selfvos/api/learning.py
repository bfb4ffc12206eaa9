"""Unlabelled videos in, weights out."""

from collections.abc import Sequence
from pathlib import Path

from selfvos.api.weights import pick_device
from selfvos.data.video_cache import VideoCache, build_video_cache, default_cache
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.recipes.adaptation import adaptation
from selfvos.training.fit import Watch, fit
from selfvos.training.settings import TrainConfig
from selfvos.types import Progress, nobody


def train(
    config: TrainConfig,
    *,
    videos: str | Path | Sequence[str | Path],
    out: str | Path,
    resume: bool = False,
    device: str = "auto",
    cache: str | Path | None = None,
    start: Segmenter | None = None,
    watch: Watch = nobody,
    packing: Progress = nobody,
) -> Path:
    """Learn from unlabelled videos and return the path of the weights.

    Args:
        config: A recipe, for instance ``selfvos.recipes.mask_vos_resnet18()``.
        videos: Folders of videos and of frame folders, at any depth, or single videos.
        out: Folder of the run: settings, metrics, checkpoints, pseudo masks, weights.
        resume: Go on from the latest checkpoint, exactly as if never interrupted.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        cache: Where decoded videos are kept, shared by all runs; by default in the user's cache folder.
        start: A network to begin with instead of random weights.
        watch: Called after every step with its losses.
        packing: Called with videos decoded and videos in all.

    Raises:
        UsageError: The folder holds another run, or settings do not fit together.
        DataError: No usable video.
        Diverged: The loss stayed infinite.
        Interrupted: Ctrl-C or SIGTERM, after a checkpoint.
        OutOfSpace: The disk is full; the last checkpoint is untouched.
    """
    video_cache = open_video_cache(videos, config, cache, packing)
    return fit(config, video_cache, Path(out), device=pick_device(device), resume=resume, start=start, watch=watch)


def adapt(
    model: Segmenter,
    *,
    videos: str | Path | Sequence[str | Path],
    out: str | Path,
    config: TrainConfig | None = None,
    resume: bool = False,
    cache: str | Path | None = None,
    watch: Watch = nobody,
    packing: Progress = nobody,
) -> Path:
    """Go on learning without labels on one's own videos, and return the path of the adapted weights.

    Args:
        model: A loaded network; it is changed. Training runs where it lies.
        videos: One video, several, or folders of them.
        out: Folder of the run, as in `train`.
        config: How; by default as `selfvos.recipes.adaptation` says.
        resume: Go on from the latest checkpoint.
        cache: Where decoded videos are kept.
        watch: Called after every step with its losses.
        packing: Called with videos decoded and videos in all.

    Raises:
        UsageError: The network has nothing to learn, or the folder holds another run.
        DataError: No usable video.
        Diverged: The loss stayed infinite.
        Interrupted: Ctrl-C or SIGTERM, after a checkpoint.
    """
    if not model.encoder.backbone.learns:
        raise UsageError(f"{model.config.backbone} has no weights that could adapt; name others with --weights")
    return train(
        config or adaptation(model),
        videos=videos,
        out=out,
        resume=resume,
        device=model.device.type,
        cache=cache,
        start=model,
        watch=watch,
        packing=packing,
    )


def open_video_cache(
    videos: str | Path | Sequence[str | Path],
    config: TrainConfig,
    cache: str | Path | None = None,
    packing: Progress = nobody,
) -> VideoCache:
    """Return the videos as a training with these settings sees them; see `train`."""
    roots = [videos] if isinstance(videos, str | Path) else list(videos)
    return build_video_cache(
        roots,
        cache=Path(cache) if cache else default_cache(),
        short_side_px=config.clips.cache_short_side_px,
        min_frames=len(config.clips.offsets),
        progress=packing,
    )
