"""A video and masks in, every frame's masks out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from selfvos import __version__
from selfvos.api.given_masks import GivenMask, Masks, read_given
from selfvos.api.memory import give_back
from selfvos.api.span import Leg, Span, legs
from selfvos.data.ahead import ahead
from selfvos.data.source import DEFAULT_FPS, FrameArrays, Source, open_source
from selfvos.data.track_folder import TrackFolder, TrackOrigin
from selfvos.errors import MaskMismatch, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import network_digest
from selfvos.settings import to_dict
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import MaskTracker, make_tracker, quality_config, recommended
from selfvos.types import Frame, Tracked, Watch, go_on, ignore

Video = str | Path | Source | Iterable[np.ndarray]
"""A video file, a folder of pictures, RGB uint8 arrays y x 3, or what `open_source` gave for any of them."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What is to be tracked: a video, what a person drew on it, and which of its frames."""

    video: Video
    masks: GivenMask | Masks
    """The mask of the frame where tracking begins, or masks by frame index."""
    span: Span = field(default_factory=Span)
    fps: float = DEFAULT_FPS
    """Frames per second of pictures and arrays; a video file has its own."""


def track(
    model: Segmenter,
    video: Video,
    first_mask: GivenMask | Masks,
    *,
    span: Span | None = None,
    config: TrackConfig | None = None,
    watch: Watch = ignore,
) -> Iterator[Tracked]:
    """Follow the objects of given masks through a video, one frame at a time, in constant memory.

    All masks are looked at before this returns.

    Args:
        model: A loaded network.
        video: A video file, a folder of pictures, or RGB uint8 arrays y x 3.
        first_mask: Object ids of the frame where tracking begins, as an array or a file; or several masks by frame
            index: objects that appear there, or are drawn anew. Frames before the first object have empty results.
        span: Which frames, in which direction; by default from the first mask to the end.
        config: How to track; by default as the weights recommend.
        watch: Hears of every frame; is asked to go on before each.

    Yields:
        One result a frame, in the order in which they are tracked.

    Raises:
        BrokenVideo: No frame can be read.
        MaskMismatch: A mask does not fit the video, or lies outside the span.
        UsageError: There is no such video or mask, or its settings cannot be.
        Stopped: The watch asked for it.
    """
    take = _take(Shot(video=video, masks=first_mask, span=span or Span()))
    return _follow_all(make_tracker(model, config), take, watch)


def track_to(
    model: Segmenter,
    shot: Shot,
    out: str | Path,
    *,
    config: TrackConfig | None = None,
    overwrite: bool = False,
    watch: Watch = ignore,
) -> Iterator[Tracked]:
    """Track as `track` and write everything into a `TrackFolder`, while the results are asked for.

    Masks, what is known of every frame, and the overlay of the frames so far are whole at any moment, also when the
    iteration is left early; only a track that came to its end is marked as done.

    Args:
        model: A loaded network.
        shot: What to track.
        out: A folder, missing or empty.
        config: How to track; by default as the weights recommend.
        overwrite: Remove an earlier track that is in `out`; anything else there is refused all the same.
        watch: Hears of every frame; is asked to go on before each.

    Raises:
        UsageError: As `track`; or `out` holds something already.
        OutOfSpace: The disk is full; all that was finished is kept.
    """
    take = _take(shot)
    config = config or recommended(model)
    followed = _follow_all(make_tracker(model, config), take, watch)
    origin = TrackOrigin(
        given=take.given,
        weights=model.name,
        weights_digest=network_digest(model),
        settings=to_dict(config),
        span=asdict(shot.span),
        version=__version__,
    )
    folder = TrackFolder(out, take.source, origin, overwrite=overwrite)

    def writing() -> Iterator[Tracked]:
        with folder:
            for tracked in followed:
                folder.write(tracked)
                yield tracked

    return writing()


def track_config(model: Segmenter, preset_name: str | None, quality: str | None = None) -> TrackConfig:
    """Return a named preset, or what the weights recommend, for a quality that they know where one is asked for.

    Raises:
        UnknownName: No such preset.
        UsageError: The weights know no such quality, or a preset is named as well.
    """
    if quality is None:
        return recommended(model) if preset_name is None else PRESETS.get(preset_name)
    if preset_name is not None:
        raise UsageError("a preset has its own settings: name it, or a quality of the weights, not both")
    return quality_config(model, quality)


def follow(tracker: MaskTracker, frames: Iterable[Frame], masks: Mapping[int, np.ndarray]) -> Iterator[Tracked]:
    """Run a tracker over frames; before the first object there is nothing in them.

    Args:
        tracker: A new one, or one that may forget what it tracked before.
        frames: In the order in which they are tracked.
        masks: Object ids by place in that order; they show at least one object.

    Raises:
        MaskMismatch: A mask does not fit, or belongs to a frame that never came.
    """
    waiting, started = dict(masks), False
    for place, frame in enumerate(frames):
        mask = waiting.pop(place, None)
        if started:
            ids = tracker.step(frame.rgb, mask)
        elif mask is not None and mask.any():
            ids, started = tracker.start(frame.rgb, mask), True
        else:
            yield Tracked(frame=frame, mask=np.zeros(frame.rgb.shape[:2], np.uint8), objects=())
            continue
        yield Tracked(frame=frame, mask=ids, objects=tracker.objects)
    if waiting:
        raise MaskMismatch(f"the video ends before {len(waiting)} of the frames that masks were given for")


@dataclass(frozen=True)
class _Take:
    """A shot that was looked at."""

    source: Source
    given: dict[int, np.ndarray]
    legs: tuple[Leg, ...]

    @property
    def count(self) -> int | None:
        """Frames that will be tracked."""
        lengths = [leg.length(self.source.count) for leg in self.legs]
        known = [length for length in lengths if length is not None]
        # Where two legs begin at one frame, it is tracked once.
        return sum(known) - (len(known) - 1) if len(known) == len(lengths) else None


def _take(shot: Shot) -> _Take:
    source = shot.video if isinstance(shot.video, Source) else open_source(shot.video, fps=shot.fps)
    masks = shot.masks if isinstance(shot.masks, Mapping) else {shot.span.start or 0: shot.masks}
    given = read_given(masks, source.size)
    return _Take(source, given, legs(shot.span, given, source.count))


def _follow_all(tracker: MaskTracker, take: _Take, watch: Watch) -> Iterator[Tracked]:
    done, total = 0, take.count
    results: Iterator[Tracked] = iter(())
    try:
        for number, leg in enumerate(take.legs):
            results = follow(tracker, _frames(tracker, take.source, leg, watch), leg.masks)
            for place, tracked in enumerate(results):
                if number and not place:  # the frame where the first leg began as well
                    continue
                done += 1
                watch.tell("tracking", done, total)
                yield tracked
                if done == 1:  # what was free after the first frame stays so: others are encoded in another thread
                    give_back()
    finally:
        del tracker, results  # what they remember
        give_back()


def _frames(tracker: MaskTracker, source: Source, leg: Leg, watch: Watch) -> Iterator[Frame]:
    frames = leg.frames(source)
    # Whoever hands over arrays may make each one when it is asked for: a camera is not read ahead of.
    asked_for = isinstance(source, FrameArrays) and not source.at_hand
    for frame in frames if asked_for else tracker.ahead(ahead(frames), smooth=True, watch=watch):
        go_on(watch)
        yield frame
