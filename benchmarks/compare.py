"""Two sides of one claim, timed in turn in one run."""

import statistics
import time
from collections.abc import Callable

Entry = dict[str, str | float]
"""name, ours and reference (seconds, or MB), ratio, agreement."""


def compare(
    name: str,
    sides: tuple[Callable[[], object], Callable[[], object]],
    repeats: int,
    agreement: str,
    *,
    inner: int = 1,
    heavy: bool = False,
) -> Entry:
    """Time both sides, ours and the reference, in turn and take medians; the ratio is theirs over ours.

    `inner` calls of ours are timed together where one is too short for the clock; a `heavy` reference, which takes
    many seconds, runs at most three times.
    """
    ours, reference = sides
    times: dict[str, list[float]] = {"ours": [], "reference": []}
    for turn in range(repeats):
        times["ours"].append(_seconds(ours, inner))
        if not heavy or turn < 3:
            times["reference"].append(_seconds(reference, 1))
    medians = {side: statistics.median(values) for side, values in times.items()}
    return {"name": name, **medians, "ratio": medians["reference"] / medians["ours"], "agreement": agreement}


def _seconds(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count
