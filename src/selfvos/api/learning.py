"""Unlabelled videos in, weights out."""

import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from selfvos import recipes
from selfvos.api.memory import keeping_blocks
from selfvos.api.weights import pick_device
from selfvos.data.cache_limit import evict
from selfvos.data.video_cache import PACK, VideoCache, build_video_cache, default_cache
from selfvos.errors import Stopped, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import load_weights, save_weights
from selfvos.models.weights_notes import Quality
from selfvos.settings import override
from selfvos.stopping import stop_on_signals
from selfvos.training import capture as captured
from selfvos.training.capture import Replay
from selfvos.training.fit import Start, fit
from selfvos.training.settings import TrainConfig
from selfvos.types import Watch, Watching, ignore

log = logging.getLogger(__name__)

Videos = str | Path | Sequence[str | Path] | VideoCache
"""Folders of videos, of frame folders and of photographs, at any depth, single videos, or shards (``shards/*.tar``); or
all of them, decoded."""

_CLUSTERED_SHORT_SIDE = 320


def train(
    config: TrainConfig,
    *,
    videos: Videos,
    out: str | Path,
    resume: bool = False,
    device: str = "auto",
    watch: Watch = ignore,
) -> Path:
    """Learn from unlabelled videos and return the path of the weights.

    What was taken and left out is logged, and is in the result of `open_video_cache`.

    Args:
        config: A recipe, for instance ``selfvos.recipes.mask_vos_resnet18()``.
        videos: Folders of videos, of frame folders and of photographs (`PhotoConfig`), at any depth, or single videos:
            they are decoded into the user's cache folder. Or what `open_video_cache` has decoded elsewhere.
        out: Folder of the run: settings, metrics, checkpoints, pseudo masks, weights.
        resume: Go on from the latest checkpoint, exactly as if never interrupted.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        watch: Told of every step with its losses; asked after each.

    Raises:
        UsageError: The folder holds another run, or one of other videos, or settings do not fit together.
        DataError: No usable video.
        Diverged: The loss stayed infinite.
        Stopped: The watch asked, or Ctrl-C or SIGTERM came; a checkpoint was written before.
        OutOfSpace: The disk is full; the last checkpoint is untouched.
    """
    with _stoppable(watch) as watch:
        cached, start = _opened(videos, config, watch), Start(resume=resume)
        with keeping_blocks():
            return fit(config, cached, Path(out), device=pick_device(device), start=start, watch=watch)


def replay(run: str | Path, *, device: str = "auto") -> list[Replay]:
    """Do the steps of a run again whose loss or gradient was not finite, and say which clips are to blame.

    Raises:
        UsageError: There was no such step.
        DataError: What was kept of it is damaged.
    """
    return captured.replay(Path(run), pick_device(device))


def adapt(
    model: Segmenter,
    *,
    videos: Videos,
    out: str | Path,
    config: TrainConfig | None = None,
    resume: bool = False,
    watch: Watch = ignore,
) -> Path:
    """Go on learning without labels, by default on one's own videos, and return the path of the new weights.

    Args:
        model: A loaded network; it is changed. Training runs where it lies.
        videos: As in `train`.
        out: Folder of the run, as in `train`.
        config: How; by default as `adaptation` says. Any recipe for this network will do; if it names another mask
            path, a new one is set beside the encoder.
        resume: Go on from the latest checkpoint.
        watch: Told of every step with its losses; asked after each.

    Raises:
        UsageError: The network has nothing to learn, or as `train`.
        DataError: No usable video.
        Diverged: The loss stayed infinite.
        Stopped: The watch asked, or Ctrl-C or SIGTERM came; a checkpoint was written before.
    """
    if not model.encoder.backbone.learns:
        raise UsageError(f"{model.config.backbone} has no weights that could adapt; name others with --weights")
    config = config or adaptation(model)
    with _stoppable(watch) as watch:
        cached = _opened(videos, config, watch)
        ways = model.notes.quality if config.track == model.notes.track else {}
        start = Start(resume=resume, network=_with_mask_path(model, config))
        with keeping_blocks():
            path = fit(config, cached, Path(out), device=model.device, start=start, watch=watch)
    _keep_ways(path, ways)
    return path


def adaptation(model: Segmenter, sets: Sequence[str] = ()) -> TrainConfig:
    """Return the settings that `adapt` takes by default, with changes.

    Args:
        model: The network to go on from.
        sets: Settings to change, as in ``seed=1``; see `selfvos.settings.override`.

    Raises:
        UsageError: No such setting, or a value that it does not accept.
    """
    return override(recipes.adaptation(model), sets)


def open_video_cache(
    videos: Videos,
    config: TrainConfig | None = None,
    *,
    cache: str | Path | None = None,
    limit_gb: float | None = None,
    watch: Watch = ignore,
) -> VideoCache:
    """Return the videos, decoded, as a training with these settings sees them.

    Args:
        videos: As in `train`; what is decoded already is given back as it is.
        config: The recipe; None decodes as `cluster` sees them.
        cache: Where decoded videos are kept, shared by all runs; by default in the user's cache folder.
        limit_gb: What the cache may take, in GiB; what no running process uses is removed for it, the longest unused
            first. None: there is no limit.
        watch: Told of every video; asked between frames.

    Raises:
        UsageError: There is no such folder, or the cache cannot be written to.
        DataError: No usable video.
        OutOfSpace: The disk is full.
        Stopped: The watch asked; what was decoded before is kept.
    """
    if isinstance(videos, VideoCache):
        return videos
    clips = config.clips if config else None
    folder = Path(cache) if cache else default_cache()
    opened = build_video_cache(
        [videos] if isinstance(videos, str | Path) else list(videos),
        cache=folder,
        short_side_px=clips.cache_short_side_px if clips else _CLUSTERED_SHORT_SIDE,
        min_frames=len(clips.offsets) if clips else 1,
        photos=clips.photos.folders if clips else (),
        watch=watch,
    )
    if limit_gb is not None:
        evict(folder, int(limit_gb * 2**30), PACK)
    return opened


def _with_mask_path(model: Segmenter, config: TrainConfig) -> Segmenter:
    """Return the network that a recipe names, where it differs from this one in its mask path alone; or this one."""
    wanted = replace(model.config, mask_path=config.model.mask_path)
    if wanted == model.config or wanted != config.model:
        return model
    log.info("V and D begin anew as %r, beside the encoder of the given weights", wanted.mask_path)
    torch.manual_seed(config.seed)
    fresh = Segmenter(wanted)
    fresh.encoder.load_state_dict(model.encoder.state_dict())
    return fresh.to(model.device)


def _keep_ways(path: Path, ways: Mapping[str, Quality]) -> None:
    """Let adapted weights be tracked with in the ways of those before them, whose accuracy is no longer theirs."""
    if ways:
        model, card = load_weights(path)
        known = {name: Quality(track=way.track) for name, way in ways.items()}
        save_weights(path, model, notes=replace(card.notes, quality=known))


def _opened(videos: Videos, config: TrainConfig, watch: Watch) -> VideoCache:
    if isinstance(videos, VideoCache):
        return videos
    cached = open_video_cache(videos, config, watch=watch)
    taken, *left_out = cached.summary().splitlines()
    log.info("%s", taken)
    for line in left_out:
        log.warning("%s", line)
    return cached


@contextmanager
def _stoppable(watch: Watch) -> Iterator[Watch]:
    """Let Ctrl-C and SIGTERM stop the work too, where nobody else has seen to them.

    What a shell started in the background ignores Ctrl-C from its beginning; nobody has seen to SIGTERM there.
    """
    if signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, signal.SIG_IGN):
        yield watch
        return
    with stop_on_signals() as flag:
        try:
            yield Watching(watch.tell, lambda: flag.stopped() or watch.stopped())
        except Stopped as error:
            if flag.signal_number:
                error.exit_status = 128 + flag.signal_number
            raise
