"""Scores of one tracker on one benchmark: as numbers, as text, as the files that DAVIS' own scorer writes."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from selfvos.data.benchmarks.base import Benchmark
from selfvos.evaluation.metrics import statistics
from selfvos.storage import write_text

MEASURES = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
"""Columns, named and ordered as in DAVIS' tables; all in 0 to 1, decay -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class ObjectSeries:
    """J and F of one object, frame by frame."""

    video: str
    object: int
    """Id in the first mask."""
    frames: tuple[str, ...]
    """Names of the frames that count."""
    region: Float64[np.ndarray, "t"]
    """J, in [0, 1]."""
    boundary: Float64[np.ndarray, "t"]
    """F, in [0, 1]."""

    @property
    def name(self) -> str:
        """Name of the row in tables, as DAVIS writes it."""
        return f"{self.video}_{self.object}"

    def measures(self) -> dict[str, float]:
        """Return the statistics of both measures, by column."""
        j, f = statistics(self.region), statistics(self.boundary)
        return dict(zip(MEASURES, ((j.mean + f.mean) / 2, *j, *f), strict=True))


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a tracker scored, under which rules, and what produced it."""

    protocol: str
    """Name of the benchmark."""
    subset: str
    """Name of its list of videos; part of the names of the files."""
    note: str
    """What sets these scores apart from published ones; empty where nothing does."""
    overall: dict[str, float]
    """By column: mean over objects."""
    per_object: dict[str, dict[str, float]]
    """By row, such as ``kite-surf_2``, then by column."""
    series: tuple[ObjectSeries, ...]
    """What the statistics were taken of."""
    provenance: dict[str, str | float] = field(default_factory=dict)
    """Weights, settings, versions: filled by who ran the tracker."""

    @property
    def objects(self) -> int:
        """Number of objects scored."""
        return len(self.series)

    @property
    def frames(self) -> int:
        """Number of frames scored, each once however many objects it holds."""
        return sum(len(frames) for frames in {series.video: series.frames for series in self.series}.values())

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the series as plain values, ready for JSON."""
        return {
            **self.overall,
            "per_sequence": self.per_object,
            "protocol": self.protocol,
            "note": self.note,
            "objects": self.objects,
            "frames": self.frames,
            "provenance": self.provenance,
        }

    def table(self) -> str:
        """Return the scores as aligned text of several lines."""
        rows = [["", *MEASURES], *([name, *_decimals(row)] for name, row in self._rows())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
        return "\n".join([self._title(), "", *lines])

    def markdown(self) -> str:
        """Return the scores as a Markdown table below a title line, ending in a line break."""
        lines = [["object", *MEASURES], ["---", *("---:" for _ in MEASURES)]]
        lines += [[name, *_decimals(row)] for name, row in self._rows()]
        return "\n".join([self._title(), "", *(f"| {' | '.join(line)} |" for line in lines), ""])

    def write(self, folder: Path | str) -> None:
        """Write both tables as DAVIS' own scorer names and formats them, and everything as ``report.json``.

        Older files of these names are replaced, never read.

        Args:
            folder: Where to; made if missing.

        Raises:
            UsageError: The folder cannot be written to.
            OutOfSpace: The disk is full.
        """
        folder = Path(folder)
        per_object = [[name, *_decimals(row, ("J-Mean", "F-Mean"))] for name, row in self.per_object.items()]
        write_text(folder / f"global_results-{self.subset}.csv", _csv([MEASURES, _decimals(self.overall)]))
        write_text(
            folder / f"per-sequence_results-{self.subset}.csv", _csv([["Sequence", "J-Mean", "F-Mean"], *per_object])
        )
        series = {
            one.name: {"frames": one.frames, "J": _rounded(one.region), "F": _rounded(one.boundary)}
            for one in self.series
        }
        write_text(folder / "report.json", json.dumps({**self.to_dict(), "series": series}, indent=1) + "\n")

    def _rows(self) -> list[tuple[str, Mapping[str, float]]]:
        return [("all", self.overall), *self.per_object.items()]

    def _title(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.protocol}{note}: {self.objects} objects, {self.frames} frames"


def summarise(
    benchmark: Benchmark, series: Sequence[ObjectSeries], provenance: Mapping[str, str | float] | None = None
) -> Report:
    """Turn frame scores into a report.

    Args:
        benchmark: What was scored.
        series: One entry per object, at least one.
        provenance: What the scored masks come from.

    Raises:
        ValueError: No object.

    Source:
        DAVIS 2017 benchmark: every mean is over objects, not over videos or frames.
    """
    if not series:
        raise ValueError("no object to report on")
    per_object = {one.name: one.measures() for one in series}
    overall = {column: float(np.mean([row[column] for row in per_object.values()])) for column in MEASURES}
    return Report(
        protocol=benchmark.name,
        subset=benchmark.subset,
        note=benchmark.note,
        overall=overall,
        per_object=per_object,
        series=tuple(series),
        provenance=dict(provenance or {}),
    )


def _decimals(row: Mapping[str, float], columns: Sequence[str] = MEASURES) -> list[str]:
    return [f"{row[column]:.3f}" for column in columns]


def _rounded(values: Float64[np.ndarray, "t"]) -> list[float]:
    return np.round(values, 6).tolist()


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
