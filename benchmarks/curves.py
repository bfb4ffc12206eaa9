"""Draw how the time of a frame grows, as the weights recommend.

``python -m benchmarks.curves FOLDER`` writes performance.svg and performance.json.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

from benchmarks.footage import frames, mask, model
from selfvos.tracking.recommendation import recommended
from selfvos.tracking.settings import RefineConfig, TrackConfig
from selfvos.tracking.tracker import Tracker

_REPEATS = 5
Points = list[tuple[float, float]]


def main() -> None:
    torch.set_num_threads(2)
    folder = Path(sys.argv[1])
    usual = recommended(model())
    refined = replace(usual, refine=RefineConfig(rounds=1))
    sides = (120, 240, 360, 480)
    lasts = (0, 5, 10, 20, 30)
    counts = (1, 2, 3, 5)
    curves: dict[str, dict[str, Points]] = {
        "short side of the frame, px": {
            name: [(side, _frame(config.at_size(side))) for side in sides]
            for name, config in (("R = 0", usual), ("R = 1", refined))
        },
        "frames remembered besides the first (R = 0)": {
            "480p": [(last, _frame(replace(usual, memory=replace(usual.memory, last=last)))) for last in lasts]
        },
        "objects": {
            name: [(count, _frame(config, objects=count)) for count in counts]
            for name, config in (("R = 0", usual), ("R = 1", refined))
        },
        "frame of the video (R = 0, 240p)": {"240p": _along(usual.at_size(240), 300)},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "performance.json").write_text(json.dumps(curves, indent=1) + "\n")
    draw(curves, folder / "performance.svg")


def draw(curves: dict[str, dict[str, Points]], path: Path) -> None:
    """Draw one panel for each quantity."""
    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(curves), figsize=(3.6 * len(curves), 3.2), layout="constrained")
    for panel, (title, lines) in zip(panels, curves.items(), strict=True):
        for name, points in lines.items():
            marker = "o" if len(points) < 20 else ""
            panel.plot(*zip(*points, strict=True), marker=marker, markersize=4, linewidth=1.5, label=name)
        panel.set_xlabel(title)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
    panels[0].set_ylabel("seconds per frame")
    figure.savefig(path)


def _frame(config: TrackConfig, objects: int = 1) -> float:
    """Return the median time of a frame once the memory is full."""
    steps = _steps(config, objects)
    for _ in range(config.memory.last + 1):
        next(steps)
    return statistics.median(next(steps) for _ in range(_REPEATS))


def _along(config: TrackConfig, count: int) -> Points:
    """Return the time of each of many frames, as medians of ten in a row."""
    times = [seconds for seconds, _ in zip(_steps(config, 1), range(count), strict=False)]
    return [(10.0 * i + 5, float(np.median(times[10 * i : 10 * i + 10]))) for i in range(count // 10)]


def _steps(config: TrackConfig, objects: int) -> Iterator[float]:
    shown = frames()
    tracker = Tracker(model(), config)
    tracker.start(shown[0], mask(objects=objects))
    t = 0
    while True:
        t += 1
        begin = time.perf_counter()
        tracker.step(shown[t % len(shown)])
        yield time.perf_counter() - begin


if __name__ == "__main__":
    main()
