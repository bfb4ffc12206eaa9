"""Any stretch of a source's frames, in either direction."""

from collections.abc import Iterator
from itertools import islice

from selfvos.data.source import Source
from selfvos.errors import UsageError
from selfvos.types import Frame

_BLOCK = 64
"""Frames held at once on the way back through a source that only plays forward."""


def play(source: Source, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
    """Yield frames of a source as `range(start, stop, step)` counts them.

    Args:
        source: Where they come from; backward, one that can be read more than once.
        start: Index of the first frame.
        stop: Index of the first frame that is left out; None for none: to the end, or back to frame 0.
        step: 1 or -1.

    Raises:
        UsageError: Backward through frames that come only once.
    """
    frames = getattr(source, "frames", None)
    if frames is not None:
        return frames(start, stop, step)
    if step > 0:
        return islice(iter(source), start, stop)
    if source.size is None:
        raise UsageError("tracking backward needs a video file, a folder of pictures or a list of frames")
    return _backward(source, start, -1 if stop is None else stop)


def _backward(source: Source, start: int, stop: int) -> Iterator[Frame]:
    while start > stop:
        below = max(stop, start - _BLOCK)
        block = list(islice(iter(source), below + 1, start + 1))
        yield from reversed(block)
        start = below
