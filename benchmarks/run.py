"""Measure speed and memory, the product and a plain reference in turn in one run: ``make bench``.

Every entry asserts that both sides agree before it reports a time. Times are medians; threads are fixed. Results go
to ``benchmarks/out/latest.json``: name, ours and reference (seconds, or MB for memory), ratio, agreement.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans
from torch.nn import functional as F

from benchmarks.reference.matcher import dense_matches
from benchmarks.reference.scorer import slow_accuracy, slow_region
from selfvos.evaluation.metrics import score_frame
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.ops.clustering import kmeans
from selfvos.ops.matching import MatchConfig, match
from selfvos.ops.propagation import read
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker

OUT = Path(__file__).parent / "out" / "latest.json"
THREADS = 2
MEMORY_PROGRAM = """
import resource, sys
import numpy as np
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker

video = np.random.default_rng(0).integers(0, 256, (8, 240, 432, 3), dtype=np.uint8)
mask = np.zeros((240, 432), dtype=np.uint8)
mask[60:120, 60:140] = 1
model = Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none"))
tracker = Tracker(model, TrackConfig(rounds=0, short_side_px=240))
tracker.start(video[0], mask)
for t in range(1, int(sys.argv[1]) + 1):
    tracker.step(video[t % 8])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

Entry = dict[str, str | float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("names", nargs="*", help="only these entries")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    repeats = 1 if arguments.quick else 5
    OUT.parent.mkdir(exist_ok=True)
    entries: list[Entry] = []
    for name in arguments.names or ENTRIES:
        entries.append(ENTRIES[name](repeats))
        OUT.write_text(json.dumps(entries, indent=1) + "\n")
    show(entries)


def match_exact(repeats: int) -> Entry:
    """Matching and read-out at 480p: 60 x 107 cells, 256 channels, 21 frames, radius 12, top 10."""
    shape = (22, 60, 107, 256)
    # Neighbouring frames and cells are alike, as they are in video.
    scene = F.avg_pool2d(torch.randn(shape[3], shape[1] + 4, shape[2] + 4), 5, 1).permute(1, 2, 0)
    frames = F.normalize(scene + 0.2 * torch.randn(shape), dim=-1)
    query, memory = frames[-1].contiguous(), frames[:-1].contiguous()
    values, config = torch.rand(memory.shape[:3].numel(), 3), MatchConfig()
    permanent = torch.arange(len(memory)) == 0

    def ours() -> tuple[torch.Tensor, torch.Tensor]:
        matches = match(query, memory, permanent, config)
        return matches.index, read(values, matches)

    def reference() -> tuple[torch.Tensor, torch.Tensor]:
        cells, weights = dense_matches(query, memory, radius=12.0, top_k=10, temperature=0.05)
        return cells, (values[cells] * weights[..., None]).sum(dim=1)

    (cells, mixed), (true_cells, true_mixed) = ours(), reference()
    same = float((cells.sort(dim=1).values == true_cells.sort(dim=1).values).all(dim=1).float().mean())
    assert same > 0.999, f"top-10 sets agree in {same:.4%} of the cells only"
    difference = float((mixed - true_mixed).abs().max())
    text = f"top-10 sets equal in {same:.4%} of cells, read-out within {difference:.1e}"
    return compare("match_exact", ours, reference, repeats, text)


def scorer(repeats: int) -> Entry:
    """J and F of three objects in a 480p frame."""
    y, x = np.mgrid[:480, :854]
    truth, result = (np.zeros((480, 854), dtype=np.uint8) for _ in range(2))
    for i in (1, 2, 3):
        truth[np.hypot(y - 240, x - 220 * i) < 60 + 20 * i] = i
        result[np.hypot(y - 246, x - 220 * i - 5) < 57 + 20 * i] = i
    void = np.zeros(truth.shape, dtype=bool)

    def ours() -> np.ndarray:
        return np.stack(score_frame(truth, result, [1, 2, 3]))

    def reference() -> np.ndarray:
        pairs = [(truth == i, result == i) for i in (1, 2, 3)]
        return np.array([[slow_region(*p, void) for p in pairs], [slow_accuracy(*p, void, 0.008) for p in pairs]])

    difference = float(np.abs(ours() - reference()).max())
    assert difference < 1e-6, difference
    return compare("scorer", ours, reference, repeats, f"largest difference {difference:.0e}", inner=20)


def clustering(repeats: int) -> Entry:
    """Groups of 10 240 points of 128 channels, 10 restarts on both sides, against scikit-learn."""
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(7, 128, generator=generator), dim=1)
    drawn = torch.randint(7, (10240,), generator=generator)
    points = F.normalize(centres[drawn] + 0.12 * torch.randn(10240, 128, generator=generator), dim=1)
    array = points.numpy()

    def ours() -> float:
        return kmeans(points, 5, restarts=10, generator=torch.Generator().manual_seed(0)).inertia

    def reference() -> float:
        return float(KMeans(5, n_init=10, random_state=0).fit(array).inertia_)

    gap = ours() / reference() - 1
    assert gap < 0.002, gap
    return compare("clustering", ours, reference, repeats, f"inertia {100 * gap:+.3f} %")


def refine_slim(repeats: int) -> Entry:
    """A frame with three slim refinement rounds against pure label propagation."""
    return _trackers("refine_slim", repeats, (3, 1), (0, 1))


def objects_three(repeats: int) -> Entry:
    """Label propagation of three objects against one."""
    return _trackers("objects_three", repeats, (0, 3), (0, 1))


def memory_growth_mb(repeats: int) -> Entry:  # noqa: ARG001
    """Peak memory after 1 000 frames against 50."""

    def peak(frames: int) -> float:
        command = [sys.executable, "-c", MEMORY_PROGRAM, str(frames)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    ours, reference = peak(1000), peak(50)
    growth = f"grows by {ours - reference:.0f} MB"
    return {
        "name": "memory_growth_mb",
        "ours": ours,
        "reference": reference,
        "ratio": ours / reference,
        "agreement": growth,
    }


ENTRIES: dict[str, Callable[[int], Entry]] = {
    measure.__name__: measure
    for measure in (match_exact, refine_slim, objects_three, memory_growth_mb, scorer, clustering)
}


def compare(
    name: str,
    ours: Callable[[], object],
    reference: Callable[[], object],
    repeats: int,
    agreement: str,
    *,
    inner: int = 1,
) -> Entry:
    """Time both sides in turn; the ratio is how many times the reference takes longer."""
    times: dict[str, list[float]] = {"ours": [], "reference": []}
    for _ in range(repeats):
        for side, call, count in (("ours", ours, inner), ("reference", reference, 1)):
            start = time.perf_counter()
            for _ in range(count):
                call()
            times[side].append((time.perf_counter() - start) / count)
    medians = {side: statistics.median(values) for side, values in times.items()}
    return {"name": name, **medians, "ratio": medians["reference"] / medians["ours"], "agreement": agreement}


def show(entries: list[Entry]) -> None:
    """Print the table and what it was measured on."""
    table = Table(title=f"{os.cpu_count()} cores, {THREADS} threads, {platform.machine()}, torch {torch.__version__}")
    for column in ("name", "ours", "reference", "ratio", "agreement"):
        table.add_column(column, justify="left" if column in ("name", "agreement") else "right")
    for entry in entries:
        numbers = [f"{entry[column]:.4g}" for column in ("ours", "reference", "ratio")]
        table.add_row(str(entry["name"]), *numbers, str(entry["agreement"]))
    Console().print(table)


def _trackers(name: str, repeats: int, ours: tuple[int, int], reference: tuple[int, int]) -> Entry:
    """Compare trackers of given (rounds, objects) on a full memory; the ratio is the cost relative to the reference."""
    torch.manual_seed(0)
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim")).eval()
    sides = [_frames(model, *ours), _frames(model, *reference)]
    for side in sides:
        for _ in range(21):
            next(side)
    entry = compare(name, lambda: next(sides[0]), lambda: next(sides[1]), 2 * repeats + 1, "")
    ratio = float(entry["ours"]) / float(entry["reference"])
    return {**entry, "ratio": ratio, "agreement": "ratio is ours / reference"}


def _frames(model: Segmenter, rounds: int, objects: int) -> Iterator[np.ndarray]:
    video = np.random.default_rng(0).integers(0, 256, (4, 480, 854, 3), dtype=np.uint8)
    mask = np.zeros((480, 854), dtype=np.uint8)
    for i in range(objects):
        mask[100:300, 100 + 220 * i : 260 + 220 * i] = i + 1
    tracker = Tracker(model, TrackConfig(rounds=rounds, feature="layer3"))
    yield tracker.start(video[0], mask)
    t = 0
    while True:
        t += 1
        yield tracker.step(video[t % 4])


if __name__ == "__main__":
    main()
