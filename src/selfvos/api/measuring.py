"""How long a frame takes on this machine: a row for the table of tested machines."""

import os
import platform
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from selfvos import __version__
from selfvos.api.weights import load, pick_device
from selfvos.data.source import DEFAULT_FPS
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import make_tracker, quality_config
from selfvos.types import Frame, Watch, go_on, ignore

HEIGHT, WIDTH = 480, 854
FULL = 21
"""Frames after which the memory of the weights that ship is full."""
TIMED = 5


@dataclass(frozen=True, kw_only=True)
class MachineSpeed:
    """Seconds a frame of each quality, and what they were measured on."""

    processor: str
    cores: int
    device: str
    system: str
    versions: str
    load: float | None
    """Work of other programs before it began, in cores; None where the system does not say. Above 0.5 the times are
    too long."""
    seconds_per_frame: dict[str, float]
    """Median with a full memory, by quality."""

    def row(self) -> str:
        """Return a row of the table in `docs/performance.md`."""
        times = (f"{self.seconds_per_frame[name]:.2f}" for name in self.seconds_per_frame)
        load = "unknown" if self.load is None else f"{self.load:.1f}"
        cells = (self.processor, str(self.cores), self.device, self.system, self.versions, load, *times)
        return f"| {' | '.join(cells)} |"


def measure_machine(*, device: str = "auto", watch: Watch = ignore) -> MachineSpeed:
    """Track made-up frames of 480 x 854 pixels and one object with the weights that ship, and take the time.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        watch: Told of frames done; asked before each.

    Raises:
        UsageError: No such device here.
        Stopped: The watch asked.
    """
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    model = load("default", device=device)
    configs = {name: quality_config(model, name) for name in model.notes.quality}
    frames = FULL + TIMED
    total = len(configs) * frames
    found = {
        name: _seconds(model, config, watch, n * frames, total) for n, (name, config) in enumerate(configs.items())
    }
    return MachineSpeed(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        device=pick_device(device).type,
        system=f"{platform.system()} {platform.machine()}",
        versions=f"selfvos {__version__}, torch {torch.__version__}",
        load=busy,
        seconds_per_frame={name: round(seconds, 3) for name, seconds in found.items()},
    )


def _seconds(model: Segmenter, config: TrackConfig, watch: Watch, done: int, total: int) -> float:
    tracker, mask = make_tracker(model, config), np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[140:340, 100:300] = 1
    took, begin = [], time.perf_counter()
    for t, frame in enumerate(tracker.ahead(_frames(), smooth=True)):
        go_on(watch)
        # Masks come back as arrays: the device is done.
        tracker.start(frame.rgb, mask) if t == 0 else tracker.step(frame.rgb)
        took.append(time.perf_counter() - begin)  # with what was waited for: a frame that another thread encodes
        begin = time.perf_counter()
        watch.tell("measuring", done + t + 1, total)
    return statistics.fmean(took) if config.smooth else statistics.median(took[FULL:])


def _frames() -> Iterator[Frame]:
    """A textured square that moves over a textured ground: nothing of it is the same in two frames."""
    rng = np.random.default_rng(0)
    ground = rng.integers(40, 160, (HEIGHT // 6, WIDTH // 6 + 8, 3)).astype(np.uint8).repeat(6, 0).repeat(6, 1)
    thing = rng.integers(120, 255, (20, 20, 3)).astype(np.uint8).repeat(10, 0).repeat(10, 1)
    for t in range(FULL + TIMED):
        rgb = ground[:HEIGHT, t : t + WIDTH].copy()
        rgb[140:340, 100 + 8 * t : 300 + 8 * t] = thing
        yield Frame(rgb, t, f"{t:05d}", t / DEFAULT_FPS)


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
