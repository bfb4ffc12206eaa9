"""A benchmark tracked, and every wrong cell of it followed back to where its error was born."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32
from torch.nn import functional as F

from selfvos.api.benchmark_runs import require_whole, results_folder
from selfvos.api.tasks.base import task_of
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, LabelledVideo
from selfvos.data.mask_png import IdMap
from selfvos.errors import UsageError
from selfvos.evaluation.births import Births, Links, places, trace
from selfvos.experiments import plots
from selfvos.models.segmenter import Segmenter
from selfvos.ops.matching import MatchConfig, Matches
from selfvos.storage import write_bytes, write_text
from selfvos.tracking.framing import Framing
from selfvos.tracking.label_propagation import LabelPropagation
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import MaskTracker
from selfvos.tracking.tracker import Tracker
from selfvos.types import Watch, go_on, ignore

_SCORES = (0.6, 0.75, 0.85, 0.93)
"""Between which births are counted by how much the best memory cell resembles the cell."""


@dataclass
class _Recorder:
    """Notes the matches of one video."""

    cells: int
    links: list[Links | None] = field(default_factory=lambda: [None])

    def __call__(self, walked: list[int], matches: Matches | None) -> None:
        """Note the matches of the next frame."""
        if matches is None:
            raise UsageError("errors are followed through matches, and a mixture of windows has none: set match")
        index = matches.index.cpu().numpy()
        source = np.asarray(walked)[index // self.cells] * self.cells + index % self.cells
        self.links.append(Links(source, matches.weight.cpu().numpy(), matches.score[:, 0].cpu().numpy()))


def diagnose(
    model: Segmenter,
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path,
    config: TrackConfig,
    watch: Watch = ignore,
) -> dict[str, Births]:
    """Track a benchmark and find where its errors are born.

    Args:
        model: A loaded network.
        benchmark: Name of a protocol that follows masks, all of whose true masks are at hand.
        root: Folder of the data set.
        out: ``births.json``, ``births.md`` and ``births.png`` go there, masks into ``masks``.
        config: How to track: label propagation by matches, with or without V and D.
        watch: Told how many frames are done; asked between frames.

    Returns:
        The births of each video. A cell is wrong where most of its pixels that show one object were given another;
        the outlines that are shown count, which memory does not hold when `show.edge_px` is set.

    Raises:
        UsageError: The benchmark follows points, its truth is not at hand, or settings have no such matches.
        DataError: The data set is incomplete.
        Stopped: The watch asked for it.
    """
    videos, out = BENCHMARKS.get(benchmark)(Path(root)), Path(out)
    task, total, done = task_of(videos), require_whole(videos), 0
    _require_traceable(videos, config)
    found: dict[str, Births] = {}
    for video in videos.videos:
        tracker = task.tracker(model, config)
        recorder, grid = _recorded(tracker, video)
        for _ in task.follow(tracker, video, results_folder(videos, out)):
            done += 1
            watch.tell(video.name, done, total)
            go_on(watch)
        results = results_folder(videos, out) / video.name
        tracked = grid.labels((videos.read_result(results / f"{name}.png") for name in video.tracked), video.objects)
        truth = grid.labels((video.truth(name) for name in video.tracked), video.objects)
        found[video.name] = trace(tracked, truth, recorder.links)
    _write(found, out)
    return found


def summary(births: Births) -> dict[str, Any]:
    """Return in numbers where the errors of a video are born; shares are of all its wrong cells."""
    total = int(births.descendants.sum())

    def share(chosen: np.ndarray) -> float:
        return float(births.descendants[chosen].sum() / total) if total else 0.0

    edges = (-np.inf, *_SCORES, np.inf)
    largest = np.sort(births.descendants)[::-1]
    return {
        "births": len(births.frame),
        "wrong_cells": total,
        "background_taken": share(births.truth == 0),
        "object_missed": share(births.found == 0),
        "places": {place: share(chosen) for place, chosen in places(births).items()},
        "scores": {
            f"{low:g} to {high:g}": share((births.score >= low) & (births.score < high))
            for low, high in pairwise(edges)
        },
        "ten_largest": float(largest[:10].sum() / total) if total else 0.0,
    }


def _require_traceable(benchmark: Benchmark, config: TrackConfig) -> None:
    if not benchmark.scored_here or benchmark.task == "points":
        raise UsageError(f"{benchmark.name} cannot be diagnosed: it takes masks of objects whose truth is at hand")
    if not isinstance(config.match, MatchConfig) or config.memory.pad_start != "never" or config.feature.scale != 1:
        raise UsageError("errors are followed through matches of whole cells: set memory.pad_start to never")


@dataclass(frozen=True)
class _Grid:
    """Cells of one video."""

    framing: Framing
    stride: int

    @property
    def cells(self) -> int:
        height, width = self.framing.padded
        return (height // self.stride) * (width // self.stride)

    def labels(self, masks: Iterable[IdMap], objects: tuple[int, ...]) -> Int32[np.ndarray, "t h w"]:
        """Return the id that most of each cell has."""
        return np.stack([self._labels(mask, objects) for mask in masks])

    def _labels(self, mask: IdMap, objects: tuple[int, ...]) -> Int32[np.ndarray, "h w"]:
        maps = self.framing.objects(mask, list(objects), torch.device("cpu"))
        shares = F.avg_pool2d(maps, self.stride)[0]
        shares = torch.cat([1 - shares.sum(dim=0, keepdim=True), shares])
        return np.asarray((0, *objects), np.int32)[shares.argmax(dim=0).numpy()]


def _recorded(tracker: MaskTracker, video: LabelledVideo) -> tuple[_Recorder, _Grid]:
    """Make a tracker note its matches."""
    propagator = tracker.propagator if isinstance(tracker, Tracker) else None
    if not isinstance(propagator, LabelPropagation):
        raise UsageError("errors are followed through memory, which this system does not have: choose other weights")
    stride = propagator.feature.stride
    size = video.given_mask(video.given[0]).shape
    grid = _Grid(Framing.fit((size[0], size[1]), propagator.config.frame, stride), stride)
    recorder = _Recorder(grid.cells)
    propagator.watch_matches = recorder
    return recorder, grid


def _write(found: Mapping[str, Births], out: Path) -> None:
    facts = {name: summary(births) for name, births in found.items()}
    write_text(out / "births.json", json.dumps(facts, indent=1) + "\n")
    write_text(out / "births.md", table(facts))
    write_bytes(out / "births.png", plots.births(found))


def table(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return as Markdown how many cells went wrong in each video, and where their errors were born."""
    where = list(next(iter(facts.values()))["places"])
    lines = [
        "| video | wrong cells | background taken | object missed | born: " + " | ".join(where) + " | ten largest |",
        "| --- |" + " ---: |" * (4 + len(where)),
    ]
    for name, row in facts.items():
        shares = [row["background_taken"], row["object_missed"], *row["places"].values(), row["ten_largest"]]
        lines.append(f"| {name} | {row['wrong_cells']:,} | " + " | ".join(f"{100 * s:.0f} %" for s in shares) + " |")
    return "\n".join(lines) + "\n"
