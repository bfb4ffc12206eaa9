"""Which frames of a video are tracked, and in which direction."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from selfvos.data.source import Source
from selfvos.errors import MaskMismatch, UsageError
from selfvos.types import Frame

Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True, kw_only=True)
class Span:
    """The frames from one to another; by default from the first mask to the end of the video."""

    start: int | None = None
    """Where tracking begins; by default at the first mask, and backward at the last one."""
    end: int | None = None
    """The last frame that is tracked; by default the video's last one, and backward frame 0."""
    direction: Direction = "forward"
    """``both`` goes forward from `start` to `end`, then backward from `start` to frame 0."""

    def __post_init__(self) -> None:
        for name, frame in (("start", self.start), ("end", self.end)):
            if frame is not None and frame < 0:
                raise UsageError(f"frames count from 0, got {frame} as {name} of the span")
        if self.start is not None and self.end is not None:
            wrong = self.start < self.end if self.direction == "backward" else self.start > self.end
            if wrong:
                raise UsageError(f"{self.direction} from frame {self.start} never comes to frame {self.end}; swap them")


class Leg(NamedTuple):
    """A walk in one direction: frames as `range` counts them, and the masks given on the way."""

    start: int
    stop: int | None
    step: int
    masks: dict[int, np.ndarray]
    """By place on the way: 0 is the frame where it starts."""

    def frames(self, source: Source) -> Iterator[Frame]:
        """Yield the frames of the leg."""
        return source.frames(self.start, self.stop, self.step)

    def length(self, frames: int | None) -> int | None:
        """Return how many frames it has, of a video of so many; None where nobody knows."""
        if self.step < 0:
            return self.start - (-1 if self.stop is None else self.stop)
        stop = frames if self.stop is None else self.stop
        return None if stop is None else max(0, stop - self.start)


def legs(span: Span, given: Mapping[int, np.ndarray], frames: int | None) -> tuple[Leg, ...]:
    """Return the walks that a span means.

    Args:
        span: What is asked for.
        given: Masks by frame index, at least one of which shows an object.
        frames: Frames of the video; None where nobody knows.

    Raises:
        UsageError: A frame lies behind the end of the video.
        MaskMismatch: A mask lies outside the span, or tracking both ways begins at a frame without an object.
    """
    start = _start(span, given)
    low, high = _reach(span, start, frames)
    _refuse_behind(span, given, frames)
    outside = [index for index in given if index < low or (high is not None and index > high)]
    if outside:
        to = "the end" if high is None else high
        raise MaskMismatch(f"the mask of frame {outside[0]} lies outside of what is tracked, frames {low} to {to}")
    stop = None if high is None or span.end is None else high + 1
    ahead = Leg(start, stop, 1, {i - start: mask for i, mask in given.items() if i >= start})
    back = Leg(start, None if low == 0 else low - 1, -1, {start - i: mask for i, mask in given.items() if i <= start})
    if span.direction == "both":
        if start not in given or not given[start].any():
            raise MaskMismatch(f"tracking both ways begins at frame {start}, where no object is drawn; give its mask")
        return ahead, back
    return (back,) if span.direction == "backward" else (ahead,)


def _refuse_behind(span: Span, given: Mapping[int, np.ndarray], frames: int | None) -> None:
    if frames is None:
        return
    for index in given:
        if index >= frames:
            raise MaskMismatch(f"a mask is given for frame {index}, but the video has frames 0 to {frames - 1}")
    for index in (span.start, span.end):
        if index is not None and index >= frames:
            raise UsageError(f"frame {index} is asked for, but the video has frames 0 to {frames - 1}")


def _start(span: Span, given: Mapping[int, np.ndarray]) -> int:
    if span.start is not None:
        return span.start
    drawn = [index for index, mask in given.items() if mask.any()]
    if span.direction == "forward":
        return min(given)
    return max(drawn) if span.direction == "backward" else min(drawn)


def _reach(span: Span, start: int, frames: int | None) -> tuple[int, int | None]:
    """Return the first and the last frame that are tracked."""
    if span.direction == "backward":
        return span.end or 0, start
    last = span.end if span.end is not None else (None if frames is None else frames - 1)
    return 0 if span.direction == "both" else start, last
