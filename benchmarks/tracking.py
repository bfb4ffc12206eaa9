"""Whole frames: from a picture file to a mask file, with refinement, with several objects, over a long time."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch.nn import functional as F

from benchmarks.compare import Entry, Turns, compare
from benchmarks.footage import SIZE, frames, mask, model, write_pictures
from benchmarks.reference.crw import NaiveTracker
from selfvos.api.tracking import follow
from selfvos.data.ahead import ahead
from selfvos.data.mask_png import write_mask
from selfvos.data.source import open_source
from selfvos.tracking.settings import FeatureConfig, RefineConfig, TrackConfig
from selfvos.tracking.tracker import Tracker

FULL = 21
"""Frames until the memory of the first and the last 20 is full."""
_ROW = 8
"""Frames of ours that are timed together."""
_GROWTH = """
import sys
from dataclasses import replace
import torch
from benchmarks.footage import frames, mask, model
from benchmarks.tracking import peak_mb, propagation
from selfvos.tracking.settings import FrameConfig
from selfvos.tracking.tracker import Tracker

torch.set_num_threads(2)
short_side, count = int(sys.argv[1]), int(sys.argv[2])
tracker = Tracker(model(), replace(propagation(), frame=FrameConfig(short_side_px=short_side)))
shown = frames()
tracker.start(shown[0], mask())
for t in range(1, count + 1):
    tracker.step(shown[t % len(shown)])
    if t == 50:
        print(peak_mb())
print(peak_mb())
"""


def track_end_to_end(repeats: int) -> Entry:
    """From JPEG to palette PNG, label propagation with a full memory, against CRW's way of doing it."""
    return whole_track("track_end_to_end", propagation(), repeats, least_overlap=0.999)


def whole_track(name: str, config: TrackConfig, repeats: int, least_overlap: float) -> Entry:
    """Compare a whole track with CRW's way, which takes over the labels of the 21 frames before from ours.

    So both sides track the same frames with a full memory. Masks have to overlap by so much. Ours runs ahead, since
    what it does beside a frame only counts in a row of them.
    """
    turns = min(repeats, 3)
    timed = FULL + 1 + turns * (1 + _ROW)
    with tempfile.TemporaryDirectory() as folder:
        pictures = write_pictures(Path(folder) / "frames", timed)
        files = sorted(pictures.iterdir())
        tracker = Tracker(model(), config)
        tracked = follow(tracker, tracker.ahead(ahead(open_source(pictures))), {0: mask()})
        naive = NaiveTracker(model(), files[0], mask())
        for number, file in enumerate(files[: FULL + 1]):
            next(tracked)
            if number:
                labels = F.interpolate(tracker.propagator.latest.cells, size=naive.grid, mode="area")
                naive.remember(file, labels[0].permute(1, 2, 0))
        results: dict[str, list[np.ndarray]] = {"ours": [], "reference": []}
        rest = iter(files[FULL + 1 :])

        def ours() -> None:
            done = next(tracked)
            write_mask(Path(folder) / "ours" / f"{done.frame.name}.png", done.mask)
            results["ours"].append(done.mask)

        def reference() -> None:
            results["reference"].append(naive.step(next(rest), Path(folder) / "reference.png"))

        # The first frame of a row was encoded while the reference had its turn: it does not count.
        entry = compare(name, (ours, reference), Turns(repeats=turns, inner=_ROW, lead=ours), "")
    pairs = zip(results["ours"], results["reference"], strict=False)
    overlap = [((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum() for a, b in pairs]
    assert min(overlap) > least_overlap, overlap
    return {**entry, "agreement": f"J between both results at least {min(overlap):.5f}"}


def refine_slim(repeats: int) -> Entry:
    """A frame with three slim refinement rounds against pure label propagation."""
    return _against("refine_slim", repeats, (3, 1), (0, 1))


def objects_three(repeats: int) -> Entry:
    """Label propagation of three objects against one."""
    return _against("objects_three", repeats, (0, 3), (0, 1))


def memory_growth_mb(repeats: int) -> Entry:
    """Peak memory after 1 000 frames against after 50; a quick run takes frames of a quarter of the size."""
    short_side = 120 if repeats == 1 else 480
    command = [sys.executable, "-c", _GROWTH, str(short_side), "1000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    reference, ours = (float(line) for line in done.stdout.split())
    text = f"grows by {ours - reference:.0f} MB between frames 50 and 1000 at {short_side}p"
    return {
        "name": "memory_growth_mb",
        "ours": ours,
        "reference": reference,
        "ratio": ours / reference,
        "agreement": text,
    }


def peak_mb() -> float:
    """Return the most memory that this process has had."""
    # Not getrusage: its peak is inherited from the process that started this one.
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


def full_memory(config: TrackConfig, objects: int, size: tuple[int, int] = SIZE) -> Iterator[np.ndarray]:
    """Yield masks of a tracker whose memory is full already, for ever."""
    shown = frames(size)
    tracker = Tracker(model(), config)
    tracker.start(shown[0], mask(size, objects))
    t = 0
    while True:
        t += 1
        found = tracker.step(shown[t % len(shown)])
        if t > config.memory.last:
            yield found


def propagation() -> TrackConfig:
    """Return plain label propagation as CRW's script does it, whatever the weights recommend."""
    return TrackConfig(refine=RefineConfig(rounds=0), feature=FeatureConfig(stage="layer3"))


def _against(name: str, repeats: int, ours: tuple[int, int], reference: tuple[int, int]) -> Entry:
    """Compare trackers of given (rounds, objects); the ratio is the cost relative to the reference."""
    sides = [
        full_memory(replace(propagation(), refine=RefineConfig(rounds=r)), objects) for r, objects in (ours, reference)
    ]
    for side in sides:
        next(side)
    entry = compare(name, (lambda: next(sides[0]), lambda: next(sides[1])), 2 * repeats + 1, "")
    ratio = float(entry["ours"]) / float(entry["reference"])
    return {**entry, "ratio": ratio, "agreement": "ratio is ours / reference"}
