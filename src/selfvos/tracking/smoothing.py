"""Masks of a window of frames that those after each frame have a say in, as well as those before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from selfvos.tracking.memory import ELSEWHERE, Entry, Remembered
from selfvos.tracking.propagator import SoftMasks
from selfvos.tracking.settings import SmoothConfig
from selfvos.tracking.view import Foreseen, View
from selfvos.types import Watch, go_on


@runtime_checkable
class Carries(Protocol):
    """Label propagation, as smoothing asks for it."""

    def again(self, view: View, remembered: Remembered, beside: SoftMasks) -> SoftMasks:
        """Carry labels to a frame from others; `beside` are the masks of the frame that was carried to last."""
        ...

    def entry(self, seen: Foreseen) -> Entry:
        """Return what memory holds of a frame."""
        ...


@dataclass(frozen=True)
class _Frames:
    """Frames that labels come from, with their places in the walk."""

    entries: tuple[Entry, ...]
    numbers: tuple[int, ...]

    @classmethod
    def lasting(cls, known: Remembered) -> "_Frames":
        """Return those that are remembered for ever."""
        return cls(known.entries[: known.permanent], known.numbers[: known.permanent])

    @classmethod
    def latest(cls, known: Remembered, count: int) -> "_Frames":
        """Return the latest of the others, in the order of the walk."""
        recent = sorted(range(known.permanent, len(known.entries)), key=known.numbers.__getitem__)[-count:]
        return cls(tuple(known.entries[i] for i in recent), tuple(known.numbers[i] for i in recent))


def look_ahead(watch: Watch, done: int, frames: int, config: SmoothConfig) -> None:
    """Tell how far a window of so many frames is: each is followed once, and once carried to in every sweep.

    Raises:
        Stopped: The watch asks to stop.
    """
    watch.tell("looking ahead", done + 1, frames * (1 + config.sweeps))
    go_on(watch)


def smoothed(
    window: Sequence[Foreseen],
    latest: SoftMasks,
    known: Remembered,
    method: Carries,
    config: SmoothConfig,
    watch: Watch,
) -> list[Foreseen]:
    """Carry labels to each frame of a window anew, from the frames before and after it.

    Matches go both ways in time: to a part of an object that is seen for the first time, what it will be like counts as
    much as what it was like. In the limit labels are the harmonic function over all frames that the given masks bound;
    a few sweeps go most of the useful way.

    Args:
        window: Frames that were followed one after the other.
        latest: Masks of the frame before them.
        known: What was remembered when the first of them was followed.
        method: Carries labels.
        config: How many frames on either side count, and how often labels are carried anew.
        watch: Told how far it is, and asked before each frame whether to stop.

    Returns:
        The same frames with their new masks.

    Source:
        This package's own. Label propagation as a random walk that labelled nodes absorb: Zhu, Ghahramani and Lafferty
        2003; here each sweep is one of Gauss and Seidel's, with all that carrying labels means here.
    """
    lasting, before = _Frames.lasting(known), _Frames.latest(known, config.frames)
    frames, entries, count = list(window), [method.entry(seen) for seen in window], len(window)
    for sweep in range(config.sweeps):
        back = (config.sweeps - sweep) % 2 == 0
        for place in reversed(range(count)) if back else range(count):
            turn = count - 1 - place if back else place
            look_ahead(watch, (1 + sweep) * count + turn, count, config)
            past = _past(before, entries[:place], known.came, config.frames)
            coming = tuple(reversed(entries[place + 1 : place + 1 + config.frames]))
            others = Remembered(
                entries=(*lasting.entries, *coming, *past.entries),
                numbers=(*lasting.numbers, *[ELSEWHERE] * len(coming), *past.numbers),
                permanent=len(lasting.entries),
                came=known.came + place,
                next=0,
            )
            neighbour = place + 1 if back and place + 1 < count else place - 1
            beside = latest if neighbour < 0 else frames[neighbour].masks
            seen = Foreseen(frames[place].view, method.again(frames[place].view, others, beside))
            frames[place], entries[place] = seen, method.entry(seen)
    return frames


def _past(before: _Frames, window: Sequence[Entry], came: int, count: int) -> _Frames:
    """Return the latest frames that come before one of a window, of which `window` has all that come before it."""
    numbers = (*before.numbers, *range(came, came + len(window)))
    return _Frames((*before.entries, *window)[-count:], numbers[-count:])
