"""Scores of one tracker on one benchmark: as numbers, as text, as the files that DAVIS' own scorer writes."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from selfvos.data.benchmarks.base import Benchmark
from selfvos.evaluation.metrics import statistics
from selfvos.storage import write_text

MEASURES = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
"""Columns of J and F, named and ordered as in DAVIS' tables; all in 0 to 1, decay -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class ObjectSeries:
    """What one object scored, frame by frame."""

    video: str
    object: int
    """Id in the given mask."""
    frames: tuple[str, ...]
    """Names of the frames that count."""
    values: Mapping[str, Float64[np.ndarray, "t"]]
    """By measure, such as ``J`` and ``F``: its value in each frame, in [0, 1]."""
    group: str = ""
    """Group whose mean it counts in, such as ``seen``; empty where there are none."""

    @property
    def name(self) -> str:
        """Name of the row in tables, as DAVIS writes it."""
        return f"{self.video}_{self.object}"

    def measures(self) -> dict[str, float]:
        """Return the statistics of J and F, by column."""
        j, f = statistics(self.values["J"]), statistics(self.values["F"])
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
    """By column: the scores of the whole benchmark."""
    per_object: dict[str, dict[str, float]]
    """By row, such as ``kite-surf_2``, then by column, which may be others than those of `overall`."""
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
        return "\n".join([self._title(), *("\n" + _aligned(rows) for rows in self._tables())])

    def markdown(self) -> str:
        """Return the scores as Markdown tables below a title line, ending in a line break."""
        return "\n".join([self._title(), "", *(_piped(rows) + "\n" for rows in self._tables())])

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
        write_text(
            folder / f"global_results-{self.subset}.csv", _csv([list(self.overall), _decimals(self.overall.values())])
        )
        write_text(folder / f"per-sequence_results-{self.subset}.csv", _csv(self._per_sequence()))
        series = {
            one.name: {"frames": one.frames, **{name: _rounded(values) for name, values in one.values.items()}}
            for one in self.series
        }
        write_text(folder / "report.json", json.dumps({**self.to_dict(), "series": series}, indent=1) + "\n")

    def _tables(self) -> list[list[list[str]]]:
        """Return the cells of one table, or of two where the whole has other columns than its parts."""
        rows = {"all": self.overall, **self.per_object}
        names = next(iter(self.per_object.values()), self.overall)
        if list(self.overall) == list(names):
            return [_cells(rows)]
        return [_cells({"all": self.overall}), _cells(self.per_object)]

    def _per_sequence(self) -> list[list[str]]:
        columns = next(iter(self.per_object.values()), {})
        # DAVIS' own scorer writes these two alone.
        kept = [name for name in columns if name in ("J-Mean", "F-Mean")] or list(columns)
        rows = [[name, *_decimals(row[column] for column in kept)] for name, row in self.per_object.items()]
        return [["Sequence", *kept], *rows]

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
        DAVIS 2017 benchmark: every mean is over objects, not over videos or frames. YouTube-VOS: G is the mean of J
        and F of seen and of unseen categories; whether its server averages within categories first is not documented.
    """
    if not series:
        raise ValueError("no object to report on")
    per_object = {one.name: one.measures() for one in series}
    return Report(
        protocol=benchmark.name,
        subset=benchmark.subset,
        note=benchmark.note,
        overall=_overall(series, per_object),
        per_object=per_object,
        series=tuple(series),
        provenance=dict(provenance or {}),
    )


def _overall(series: Sequence[ObjectSeries], per_object: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Average over objects; where they form groups, over the objects of each group and then over groups."""
    groups = sorted({one.group for one in series})
    if groups == [""]:
        return {column: _mean(row[column] for row in per_object.values()) for column in MEASURES}
    means = {
        f"{measure}_{group}": _mean(per_object[one.name][f"{measure}-Mean"] for one in series if one.group == group)
        for group in groups
        for measure in ("J", "F")
    }
    return {"G": _mean(means.values()), **means}


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _cells(rows: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    columns = next(iter(rows.values()))
    return [["", *columns], *([name, *_decimals(row.values())] for name, row in rows.items())]


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join(lines)


def _piped(rows: list[list[str]]) -> str:
    header, *body = rows
    lines = [["object", *header[1:]], ["---", *("---:" for _ in header[1:])], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _decimals(values: Iterable[float]) -> list[str]:
    return [f"{value:.3f}" for value in values]


def _rounded(values: Float64[np.ndarray, "t"]) -> list[float]:
    return np.round(values, 6).tolist()


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
