"""The frames of a walk, read window by window, so that those to come have a say in the masks of each."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from selfvos.tracking.encoding import Rgb
from selfvos.tracking.settings import SmoothConfig
from selfvos.types import Frame

_MOST_BYTES = 2**28
"""Pictures of a window take no more, unless that left less than twice as many frames as are looked ahead."""


@dataclass(frozen=True)
class _Known:
    rgb: Rgb
    prepared: Any


class Windows:
    """Holds the frames of a walk that come next, and what was found of them before their turn.

    What was found counts as long as frames are tracked one after the other, as they come; whoever does otherwise, or
    gives a mask, lets go of it, and it is found anew.
    """

    def __init__(self) -> None:
        """Make it, with no walk."""
        self._held: deque[Frame] = deque()
        self._turns = 0
        self._known: deque[_Known] = deque()

    def walk(self, frames: Iterable[Frame], begun: Callable[[], bool], config: SmoothConfig) -> Iterator[Frame]:
        """Yield frames in their order; from the first mask on, those of a whole window are read before the first of it.

        Args:
            frames: In the order in which they are tracked.
            begun: Says whether the video has begun.
            config: How large windows are; they are smaller where frames are large.
        """
        waiting, frame = iter(frames), None
        for frame in waiting:
            yield frame
            if begun():
                break
        if frame is None:
            return
        # Of its own: what is left of a walk that was broken off reaches nobody.
        held = self._held = deque[Frame]()
        size = _size(frame, config)
        while True:
            held.extend(islice(waiting, size - len(held)))
            whole = len(held) == size
            for turn in range(len(held) - config.frames if whole else len(held), 0, -1):
                self._turns = turn
                yield held[0]
                held.popleft()
            if not whole:
                return

    def take(self, frame: Rgb, foresee: Callable[[Sequence[Frame]], Sequence[Any]]) -> Any:
        """Return what is known of a frame whose turn it is; None where it is not the next one of a walk.

        Args:
            frame: The frame.
            foresee: Finds it for all frames of the window from this one on.
        """
        if not (self._held and self._held[0].rgb is frame):
            self.forget()
            return None
        if not (self._known and self._known[0].rgb is frame):
            frames = list(self._held)
            found = zip(frames, foresee(frames), strict=True)
            self._known = deque(_Known(held.rgb, prepared) for held, prepared in islice(found, self._turns))
        return self._known.popleft().prepared

    def forget(self) -> None:
        """Let go of what was found: what it was found from has changed."""
        self._known.clear()


def _size(frame: Frame, config: SmoothConfig) -> int:
    return min(config.window, max(2 * config.frames, _MOST_BYTES // frame.rgb.nbytes))
