"""What people get: the settings that the weights recommend, the first mask of a command, what an object takes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks.compare import Entry, Turns, compare
from benchmarks.footage import frames, mask, model, write_pictures
from benchmarks.tracking import whole_track
from selfvos.data.mask_png import write_mask
from selfvos.ops.guided_filter import guided_filter, guided_filter_plain
from selfvos.tracking.recommendation import recommended
from selfvos.tracking.system import quality_config

_OVERLAP = 0.5
"""Masks of other settings than the reference's are other masks; what overlaps less than this is no track."""
_EDGE_PX = 12
_TIMEOUT_SECONDS = 120
_MORE = {0: 20, 1: 4}
"""Objects besides the first, by rounds of refinement: what one takes is small beside what a run varies by."""
_GIVES_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Has glibc give back at once what is freed, so that a peak is what was held, not what lay about between."""
_OBJECTS = """
import sys
from dataclasses import replace
import torch
from benchmarks.footage import frames, mask, model
from benchmarks.tracking import peak_mb
from selfvos.tracking.recommendation import recommended
from selfvos.tracking.tracker import Tracker

torch.set_num_threads(2)
objects, rounds, size = int(sys.argv[1]), int(sys.argv[2]), (1080, 1920)
config = recommended(model())
tracker = Tracker(model(), replace(config, refine=replace(config.refine, rounds=rounds)))
shown = frames(size, 6)
tracker.start(shown[0], mask(size, objects))
for t in range(1, config.memory.last + 3):
    tracker.step(shown[t % 6])
print(peak_mb())
"""


def track_recommended(repeats: int) -> Entry:
    """A whole track as the weights recommend."""
    return whole_track("track_recommended", recommended(model()), repeats, _OVERLAP)


def track_fast(repeats: int) -> Entry:
    """A whole track with ``--quality fast``."""
    return whole_track("track_fast", quality_config(model(), "fast"), repeats, _OVERLAP)


def track_best(repeats: int) -> Entry:
    """A whole track with ``--quality best``, each frame as it comes: without the looks at later ones."""
    return whole_track("track_best", quality_config(model(), "best"), repeats, _OVERLAP)


def edges(repeats: int) -> Entry:
    """Outlines of one object and background that follow the edges of a 480p frame, against torch's own operations."""
    frame = torch.from_numpy(frames()[0]).permute(2, 0, 1)[None].float() / 255
    bird = F.avg_pool2d(torch.from_numpy(mask())[None, None].float(), 9, stride=1, padding=4)
    masks = torch.cat([1 - bird, bird], dim=1)

    def ours() -> torch.Tensor:
        return guided_filter(frame, masks, radius_px=_EDGE_PX)

    def reference() -> torch.Tensor:
        return guided_filter_plain(frame, masks, radius_px=_EDGE_PX, epsilon=1e-3)

    gap = float((ours() - reference()).abs().max())
    assert gap < 1e-4, gap
    return compare("edges", (ours, reference), Turns(repeats=2 * repeats + 1, inner=5), f"within {gap:.0e}")


def first_mask_s(repeats: int) -> Entry:
    """From command to the first mask on disk, and to the first that was tracked, against importing torch."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = write_pictures(Path(folder) / "frames", 10)
        first = Path(folder) / "first.png"
        write_mask(first, mask())
        waits = [_wait(pictures, first, Path(folder) / f"out{turn}") for turn in range(repeats + 2)][1:]
    imports = [_seconds([sys.executable, "-c", "import torch"]) for _ in waits]
    ours, tracked, reference = (sorted(times)[len(times) // 2] for times in (*zip(*waits, strict=True), imports))
    text = f"{ours - reference:.1f} s more; the first that was tracked after {tracked:.1f} s"
    return {
        "name": "first_mask_s",
        "ours": ours,
        "reference": reference,
        "ratio": ours / reference,
        "agreement": text,
    }


def object_mb(repeats: int) -> Entry:  # noqa: ARG001
    """Peak memory of one more object at 1080p, tracked at 480p as recommended (R = 0), against the same with R = 1."""
    peaks = {(objects, rounds): _peak(objects, rounds) for rounds in (0, 1) for objects in (1, 1 + _MORE[rounds])}
    ours, reference = ((peaks[1 + more, rounds] - peaks[1, rounds]) / more for rounds, more in _MORE.items())
    text = f"one object: {peaks[1, 0]:.0f} MB in all as recommended, {peaks[1, 1]:.0f} MB with R = 1"
    return {"name": "object_mb", "ours": ours, "reference": reference, "ratio": ours / reference, "agreement": text}


def _wait(pictures: Path, first: Path, out: Path) -> tuple[float, float]:
    selfvos = str(Path(sys.executable).with_name("selfvos"))
    command = [selfvos, "track", str(pictures), "--mask", str(first), "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    found: list[float] = []
    while len(found) < 2 and time.perf_counter() - start < _TIMEOUT_SECONDS and process.poll() is None:
        if (out / "masks" / f"{len(found):05d}.png").exists():
            found.append(time.perf_counter() - start)
        time.sleep(0.005)
    process.kill()
    errors = process.communicate()[1].decode()
    assert len(found) == 2, errors
    return found[0], found[1]


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def _peak(objects: int, rounds: int) -> float:
    command = [sys.executable, "-c", _OBJECTS, str(objects), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **_GIVES_BACK})
    return float(done.stdout)
