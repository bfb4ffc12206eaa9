"""Two sides of one claim, timed in turn in one run."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Entry = dict[str, str | float]
"""name, ours and reference (seconds, or MB), ratio, agreement."""


@dataclass(frozen=True, kw_only=True)
class Turns:
    """How both sides take turns."""

    repeats: int
    inner: int = 1
    """Calls of ours that are timed together, where one is too short for the clock, or more are done side by side."""
    lead: Callable[[], object] | None = None
    """Called before each turn of ours, whose time it is not part of."""
    heavy: bool = False
    """The reference takes many seconds, and runs three times at most."""


def compare(
    name: str, sides: tuple[Callable[[], object], Callable[[], object]], turns: int | Turns, agreement: str
) -> Entry:
    """Time both sides, ours and the reference, in turn and take medians; the ratio is theirs over ours."""
    turns = Turns(repeats=turns) if isinstance(turns, int) else turns
    ours, reference = sides
    times: dict[str, list[float]] = {"ours": [], "reference": []}
    for turn in range(turns.repeats):
        if turns.lead is not None:
            turns.lead()
        times["ours"].append(_seconds(ours, turns.inner))
        if not turns.heavy or turn < 3:
            times["reference"].append(_seconds(reference, 1))
    medians = {side: statistics.median(values) for side, values in times.items()}
    return {"name": name, **medians, "ratio": medians["reference"] / medians["ours"], "agreement": agreement}


def _seconds(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count
