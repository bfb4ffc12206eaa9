"""A camera or stream in, tracks in segments out, for as long as it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from selfvos import __version__
from selfvos.api.given_masks import GivenMask, Ids, read_given
from selfvos.data.live import LiveConfig, LiveSource
from selfvos.data.source import read_image
from selfvos.data.track_folder import TrackFolder, TrackOrigin
from selfvos.errors import MaskMismatch, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.settings import to_dict
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import MaskTracker, make_tracker, recommended
from selfvos.types import Frame, Tracked, Watch, ignore


@dataclass(frozen=True, kw_only=True)
class LiveShot:
    """What is to be tracked as it happens."""

    source: LiveSource
    mask: GivenMask
    """Object ids of the picture that it was drawn on."""
    drawn_on: str | Path | np.ndarray | None = None
    """That picture, taken from the source a while ago; by default the mask is that of the first frame tracked."""
    segment_minutes: float = 10.0
    """How long each track is."""
    frames: int | None = None
    """Where to end; by default when the watch asks, or the source ends."""

    def __post_init__(self) -> None:
        if not self.segment_minutes > 0:
            raise UsageError(f"segments must last longer than 0 minutes, got {self.segment_minutes}")


def live_source(what: str, *, silence_s: float = LiveConfig.silence_s, watch: Watch = ignore) -> LiveSource:
    """Connect to a camera by its number, or to a stream by its address (rtsp, rtmp, udp, http ...).

    Args:
        what: ``0`` for the first camera, or ``rtsp://host/path``.
        silence_s: Seconds without a frame after which it has ended.
        watch: Reading ends when it asks to stop.

    Raises:
        UsageError: It is no address of a known kind.
        BrokenVideo: Nothing comes from there.
    """
    patience = min(LiveConfig.patience_s, silence_s)
    return LiveSource(what, LiveConfig(silence_s=silence_s, patience_s=patience), watch=watch)


def track_live(
    model: Segmenter,
    shot: LiveShot,
    out: str | Path,
    *,
    config: TrackConfig | None = None,
    watch: Watch = ignore,
) -> Iterator[Tracked]:
    """Track a live source into segments below a folder, each a whole `TrackFolder`, while the results are asked for.

    A segment counts frames and seconds from its own beginning; ``range`` in its ``track.json`` says when that was and
    how many frames were dropped since tracking was slower than they came. The next segment goes on with the same
    objects. The last one is closed, and marked as done, when the source ends or its watch asks to stop.

    Args:
        model: A loaded network.
        shot: What to track; its source is read to its end, and closed.
        out: A folder, missing or empty.
        config: How to track; by default as the weights recommend.
        watch: Hears of every frame. The watch of the source is the one that is asked.

    Yields:
        One result a frame, numbered from the beginning of the source.

    Raises:
        UsageError: `out` holds something.
        MaskMismatch: The mask does not fit the source or the picture that it was drawn on, or shows nothing.
        OutOfSpace: The disk is full; all that was finished is kept.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} holds something already; what is live is never written over: choose a new folder")
    config = config or recommended(model)
    begin = _begin(shot)
    origin = TrackOrigin(
        given={} if shot.drawn_on is not None else {0: begin.mask},
        weights=model.name,
        weights_digest=digest(model.state_dict()),
        settings=to_dict(config),
        version=__version__,
    )
    segments = _Segments(out, shot, origin)
    results = _follow(make_tracker(model, config), begin, shot.source.frames(stop=shot.frames))

    def writing() -> Iterator[Tracked]:
        with shot.source, segments.last():
            for done, tracked in enumerate(results, start=1):
                segments.write(tracked)
                watch.tell("tracking", done, shot.frames)
                yield tracked

    return writing()


@dataclass(frozen=True)
class _Begin:
    """Where tracking begins."""

    mask: Ids
    picture: np.ndarray | None
    """What the mask was drawn on; None where that is the first frame."""


def _begin(shot: LiveShot) -> _Begin:
    drawn_on = shot.drawn_on
    picture = read_image(drawn_on) if isinstance(drawn_on, str | Path) else drawn_on
    if picture is not None and picture.shape[:2] != shot.source.size:
        came, wanted = (f"{height}x{width}" for height, width in (picture.shape[:2], shot.source.size))
        raise MaskMismatch(f"the picture drawn on is {came}, frames are {wanted}; take one from the same source")
    return _Begin(read_given({0: shot.mask}, shot.source.size)[0], picture)


def _follow(tracker: MaskTracker, begin: _Begin, frames: Iterator[Frame]) -> Iterator[Tracked]:
    if begin.picture is not None:
        tracker.start(begin.picture, begin.mask)
    for frame in frames:
        at_first = begin.picture is None and frame.index == 0
        ids = tracker.start(frame.rgb, begin.mask) if at_first else tracker.step(frame.rgb)
        yield Tracked(frame=frame, mask=ids, objects=tracker.objects)


@dataclass(frozen=True)
class _Segment:
    """A track that is being written."""

    folder: TrackFolder
    begin: Frame
    """Its first frame, as the source counts."""
    dropped: int
    """Frames that the source had dropped before."""
    facts: dict[str, Any]
    """What ``track.json`` says of it; the folder writes that down again at its end."""

    def write(self, tracked: Tracked, dropped: int) -> None:
        """Write a frame as this segment counts."""
        index = tracked.frame.index - self.begin.index
        seconds = tracked.frame.seconds - self.begin.seconds
        inside = replace(tracked.frame, index=index, name=f"{index:05d}", seconds=seconds)
        self.folder.write(replace(tracked, frame=inside))
        self.facts["dropped"] = dropped - self.dropped


class _Segments:
    """Tracks one after the other, each for so many minutes."""

    def __init__(self, out: Path, shot: LiveShot, origin: TrackOrigin) -> None:
        self._out, self._shot, self._origin = out, shot, origin
        self._now: _Segment | None = None
        self._number = 0

    @contextmanager
    def last(self) -> Iterator[None]:
        """Close the last segment at the end of the block, whole unless an error ended it."""
        try:
            yield
        except GeneratorExit:  # whoever asks for results has had enough: that is an end like others here
            self._close(None)
            raise
        except BaseException as error:
            self._close(error)
            raise
        self._close(None)

    def write(self, tracked: Tracked) -> None:
        """Write a frame into the segment that it belongs to."""
        now, dropped = self._now, self._shot.source.dropped
        if now is None or tracked.frame.seconds - now.begin.seconds >= 60 * self._shot.segment_minutes:
            self._close(None)
            now = self._now = self._open(tracked.frame, dropped)
        now.write(tracked, dropped)

    def _close(self, error: BaseException | None) -> None:
        now, self._now = self._now, None
        if now is not None:
            now.folder.__exit__(None if error is None else type(error), error, None)

    def _open(self, frame: Frame, dropped: int) -> _Segment:
        number, self._number = self._number, self._number + 1
        facts = {
            "source": self._shot.source.address.shown,
            "segment": number,
            "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seconds": round(frame.seconds, 3),
            "frame": frame.index,
            "dropped": 0,
        }
        origin = replace(self._origin, given={} if number else self._origin.given, span=facts)
        folder = TrackFolder(self._out / f"segment-{number:05d}", self._shot.source, origin)
        return _Segment(folder.__enter__(), frame, dropped, facts)
