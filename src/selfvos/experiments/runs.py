"""One system trained, and one tracked and scored: each once, and not again when that was done before."""

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from selfvos import api
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.settings import from_dict, to_dict
from selfvos.storage import write_text
from selfvos.tracking.settings import TrackConfig
from selfvos.training.settings import TrainConfig
from selfvos.types import nobody

Watch = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def train_once(
    config: TrainConfig,
    videos: Sequence[str | Path],
    run: Path,
    *,
    device: str = "auto",
    cache: Path | None = None,
    start: Segmenter | None = None,
    watch: Watch = nobody,
) -> None:
    """Train until a run is complete: go on with one that was interrupted, and leave a complete one alone.

    Args:
        config: What to train.
        videos: See `selfvos.train`.
        run: Folder of the run.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        cache: Where decoded videos are kept.
        start: Network to begin with instead of random weights.
        watch: Called after every step.

    Raises:
        UsageError: The folder holds a run with other settings.
    """
    settings = run / "settings.json"
    if settings.is_file() and from_dict(TrainConfig, json.loads(settings.read_text())) != config:
        raise UsageError(f"{run} was trained with other settings; choose another --out, or remove that folder")
    if (run / "weights.safetensors").is_file():
        return
    api.train(
        config,
        videos=videos,
        out=run,
        resume=run.is_dir(),
        device=device,
        cache=cache,
        start=start,
        watch=lambda report: watch(report.stage, report.done, report.total),
        packing=lambda done, total: watch("decoding videos", done, total or 0),
    )


def score_once(
    model: Segmenter, config: TrackConfig, benchmark: str, root: Path, out: Path, *, watch: Watch = nobody
) -> None:
    """Track and score a benchmark, unless that was done with the same weights and settings.

    Args:
        model: A loaded network.
        config: How to track.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: As in `selfvos.evaluate`; ``asked.json`` and ``speed.json`` are written beside, when all is done.
        watch: Called with the video, frames done, and frames in all.

    Raises:
        UsageError: The benchmark is scored by a server only.
    """
    asked = {"weights": digest(model.state_dict()), "benchmark": benchmark, "root": str(root.resolve())}
    marker = out / "asked.json"
    if marker.is_file():
        before = json.loads(marker.read_text())
        if from_dict(TrackConfig, before.pop("track")) == config and before == asked:
            return
    marker.unlink(missing_ok=True)
    clock = _Clock(watch)
    report = api.evaluate(model, benchmark, root=root, out=out, config=config, watch=clock.tick)
    if not hasattr(report, "overall"):
        raise UsageError(f"{benchmark} is scored by its server only; compare on a benchmark that is scored here")
    write_text(out / "speed.json", json.dumps({"seconds_per_frame": clock.seconds_per_frame()}) + "\n")
    write_text(marker, json.dumps({**asked, "track": to_dict(config)}, indent=1) + "\n")


def is_trained(run: Path) -> bool:
    """Return whether a run is complete."""
    return (run / "weights.safetensors").is_file()


def training_cost(run: Path) -> dict[str, Any]:
    """Return the steps of a run and the minutes that they took, pauses left out.

    The time of a phase is its steps times their median, so that a machine that slept in between does not count.
    """
    phases: dict[str, list[float]] = defaultdict(list)
    for line in (run / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        phases[entry["phase"]].append(entry["seconds"])
    seconds = sum(len(times) * statistics.median(times) for times in phases.values())
    return {"steps": sum(map(len, phases.values())), "minutes": seconds / 60}


def frames_per_second(out: Path) -> float:
    """Return how fast a scored system tracked, reading and writing included."""
    return 1 / json.loads((out / "speed.json").read_text())["seconds_per_frame"]


class _Clock:
    """Passes progress on, and takes the time between one frame and the next."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._last: tuple[str, float] = ("", 0.0)
        self._times: list[float] = []

    def tick(self, video: str, done: int, total: int) -> None:
        """Take note of a frame."""
        now = time.perf_counter()
        if video == self._last[0] and video not in ("scoring", "packing"):
            self._times.append(now - self._last[1])
        self._last = (video, now)
        self._watch(video, done, total)

    def seconds_per_frame(self) -> float:
        """Return the median; one frame may wait for a compiler, another for a busy disk."""
        return statistics.median(self._times) if self._times else float("nan")
