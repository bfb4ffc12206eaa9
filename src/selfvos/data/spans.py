"""Which frames of a video are asked for, and how they are read backwards."""

from collections.abc import Callable, Iterator

from selfvos.errors import UsageError
from selfvos.types import Frame

_HELD_BYTES = 2**27
_FEWEST_HELD = 8


def check_span(start: int | None, stop: int | None, step: int) -> None:
    """Refuse a start, a stop or a step that no video has.

    Raises:
        UsageError: A step of 0, a negative start, or a stop before the first frame.
    """
    if step == 0:
        raise UsageError("step must not be 0; 1 reads forwards, -1 backwards")
    if start is not None and start < 0:
        raise UsageError(f"start must be a frame number from 0 on, got {start}")
    if stop is not None and stop < (0 if step > 0 else -1):
        raise UsageError(f"stop must be a frame number from 0 on, got {stop}")


def span(start: int | None, stop: int | None, step: int, *, count: int, name: str) -> range:
    """Return the numbers of the frames asked for.

    Args:
        start: The first; None begins at the first frame, or at the last where `step` is negative.
        stop: Where to stop, itself left out; None goes on to the end, or down to frame 0.
        step: 1 for every frame, 2 for every other one, -1 for all backwards.
        count: Frames there are.
        name: What to call the video in messages.

    Raises:
        UsageError: The start lies beyond the end, or see `check_span`.
    """
    check_span(start, stop, step)
    if start and start >= count:
        raise UsageError(f"{name} has no frame {start}: it has {count}, numbered from 0")
    if step > 0:
        return range(start or 0, count if stop is None else min(stop, count), step)
    return range(count - 1 if start is None else min(start, count - 1), -1 if stop is None else stop, step)


def most_held(size: tuple[int, int]) -> int:
    """Return how many frames of a size are held at a time to read backwards."""
    return max(_FEWEST_HELD, _HELD_BYTES // (size[0] * size[1] * 3))


def backwards(wanted: range, read: Callable[[range], Iterator[Frame]], begin: Callable[[int], int]) -> Iterator[Frame]:
    """Yield frames from the last to the first where reading itself only goes forwards: part by part.

    Args:
        wanted: Frame numbers, falling.
        read: Yields the frames of some rising numbers, in order.
        begin: Says where to begin the part that ends with this frame.
    """
    last, step = wanted.start, -wanted.step
    while last > wanted.stop:
        # The first of the wanted numbers, which lie `step` apart below `last`, that the part reaches.
        first = last - (last - max(begin(last), wanted.stop + 1)) // step * step
        yield from reversed(list(read(range(first, last + 1, step))))
        last = first - step
