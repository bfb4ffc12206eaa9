"""Scores of one tracker on one benchmark: as numbers, as text, as the files that DAVIS' own scorer writes."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.evaluation.attributes import by_attribute, label
from selfvos.evaluation.metrics import statistics
from selfvos.storage import sha256, write_text

MEASURES = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
"""Columns of J and F, named and ordered as in DAVIS' tables; all in 0 to 1, decay -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class ObjectSeries:
    """What one object scored, frame by frame."""

    video: str
    object: int
    """Id in the given mask; 0 where the video is scored as a whole."""
    frames: tuple[str, ...]
    """Names of the frames that count."""
    values: Mapping[str, Float64[np.ndarray, "t"]]
    """By measure, such as ``J`` and ``F``: its value in each frame, in [0, 1]."""
    group: str = ""
    """Group whose mean it counts in, such as ``seen``; empty where there are none."""

    @property
    def name(self) -> str:
        """Name of the row in tables, as DAVIS writes it."""
        return f"{self.video}_{self.object}" if self.object else self.video

    def level(self) -> Float64[np.ndarray, "t"]:
        """Return the mean over measures in each frame; NaN where one is undefined."""
        return np.mean(np.stack(list(self.values.values())), axis=0)

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
    unit: str = "objects"
    """What is scored one by one: objects, or whole videos."""
    provenance: dict[str, str | float] = field(default_factory=dict)
    """Hashes of data, results and weights, settings, versions: filled by who ran the tracker."""
    per_attribute: dict[str, dict[str, int | float]] = field(default_factory=dict)
    """By attribute of the videos: means over the objects that have it and over the others; see `by_attribute`."""

    @property
    def objects(self) -> int:
        """Number of objects scored."""
        return len(self.series)

    @property
    def frames(self) -> int:
        """Number of frames scored, each once however many objects it holds."""
        return sum(len(frames) for frames in {series.video: series.frames for series in self.series}.values())

    @property
    def title(self) -> str:
        """Protocol, what sets it apart, and how much was scored, in a line."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.protocol}{note}: {self.objects} {self.unit}, {self.frames} frames"

    @property
    def origin(self) -> str:
        """Provenance in a line: hashes by their first digits, without the settings of single parts."""
        return ", ".join(f"{name} {str(value)[:12]}" for name, value in self.provenance.items() if "." not in name)

    def with_attributes(self, attributes: Mapping[str, Sequence[str]]) -> "Report":
        """Return the report with scores by attribute.

        Args:
            attributes: Those of each video; none at all leaves the report as it is.
        """
        videos = {one.name: one.video for one in self.series}
        rows = by_attribute(self.per_object, videos, attributes, main_columns(_columns(self.per_object)))
        return replace(self, per_attribute=rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the series as plain values, ready for JSON; what is undefined is None."""
        attributes = {"per_attribute": self.per_attribute} if self.per_attribute else {}
        return plain(
            {
                **self.overall,
                "per_sequence": self.per_object,
                **attributes,
                "protocol": self.protocol,
                "note": self.note,
                "objects": self.objects,
                "frames": self.frames,
                "provenance": self.provenance,
            }
        )

    def table(self) -> str:
        """Return the scores as aligned text of several lines."""
        origin = [f"\n{self.origin}"] if self.provenance else []
        return "\n".join([self.title, *("\n" + aligned(rows) for rows in self.tables()), *origin])

    def markdown(self) -> str:
        """Return scores and provenance as Markdown tables below a title line, ending in a line break."""
        origin = [["provenance", ""], *([name, str(value)] for name, value in self.provenance.items())]
        return "\n".join([self.title, "", *(piped(rows) + "\n" for rows in [*self.tables(), origin])])

    def write(self, folder: Path | str) -> None:
        """Write the report for people and for programs.

        ``global_results-*.csv`` and ``per-sequence_results-*.csv`` are named and formatted as by DAVIS' own scorer.
        ``report.csv`` has all columns of all objects, ``report.md`` the tables and where they come from, and
        ``report.json`` everything. Older files of these names are replaced, never read.

        Args:
            folder: Where to; made if missing.

        Raises:
            UsageError: The folder cannot be written to.
            OutOfSpace: The disk is full.
        """
        folder = Path(folder)
        overall = [list(self.overall), [f"{value:.3f}" for value in self.overall.values()]]
        write_text(folder / f"global_results-{self.subset}.csv", comma_separated(overall))
        write_text(folder / f"per-sequence_results-{self.subset}.csv", comma_separated(self._per_sequence()))
        write_text(folder / "report.csv", comma_separated(self._every_column()))
        write_text(folder / "report.md", self.markdown())
        series = {
            one.name: {"frames": one.frames, **{name: _rounded(values) for name, values in one.values.items()}}
            for one in self.series
        }
        content = plain({**self.to_dict(), "series": series})
        write_text(folder / "report.json", json.dumps(content, indent=1) + "\n")

    def tables(self) -> list[list[list[str]]]:
        """Return the cells of each table, header first.

        The scores of the whole are a row of the objects' table, or a table of their own where their columns differ;
        then come the attributes, where they are known.
        """
        tables = [_cells({"all": self.overall, **self.per_object})]
        if list(self.overall) != _columns(self.per_object):
            tables = [_cells({"all": self.overall}), _cells(self.per_object)]
        if self.per_attribute:
            named = {label(name): row for name, row in self.per_attribute.items()}
            tables.append(_cells(named, corner="attribute"))
        return tables

    def _per_sequence(self) -> list[list[str]]:
        columns = _columns(self.per_object)
        # DAVIS' own scorer writes these two alone.
        kept = [name for name in columns if name in ("J-Mean", "F-Mean")] or columns
        rows = [[name, *(f"{row[column]:.3f}" for column in kept)] for name, row in self.per_object.items()]
        return [["Sequence", *kept], *rows]

    def _every_column(self) -> list[list[str]]:
        rows = [[name, *(f"{value:.6f}" for value in row.values())] for name, row in self.per_object.items()]
        return [["object", *_columns(self.per_object)], *rows]


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


def mean_report(reports: Sequence[Report]) -> Report:
    """Average reports on the same data, such as those of several seeds: every score, and every frame of each object.

    Args:
        reports: At least one. Only what they have in common is kept of their provenance; attributes are left out.
    """
    first = reports[0]
    if len(reports) == 1:
        return first
    series = tuple(
        replace(one, values={name: np.mean([r.series[i].values[name] for r in reports], axis=0) for name in one.values})
        for i, one in enumerate(first.series)
    )
    common = {name: v for name, v in first.provenance.items() if all(r.provenance.get(name) == v for r in reports)}
    return replace(
        first,
        overall={column: _mean(one.overall[column] for one in reports) for column in first.overall},
        per_object={
            name: {column: _mean(one.per_object[name][column] for one in reports) for column in row}
            for name, row in first.per_object.items()
        },
        series=series,
        provenance=common,
        per_attribute={},
    )


def data_hash(benchmark: Benchmark) -> str:
    """Return a hash of the true masks that are scored: of the names of their videos and frames, and of their files.

    Where a benchmark keeps masks in another way than one file for each frame, their ids take the place of the files.

    Raises:
        DataError: A mask is missing.
    """
    return combined_hash(part for video in benchmark.videos for part in _truth_hashes(video))


def results_hash(benchmark: Benchmark, folder: Path) -> str:
    """Return a hash of the result masks that are scored: of the names of their videos and frames, and of their files.

    Args:
        benchmark: What the masks are scored on.
        folder: Holds ``<video>/<frame>.png``.
    """
    names = (f"{video.name}/{frame}" for video in benchmark.videos for frame in video.counted)
    return combined_hash((name, sha256(folder / f"{name}.png")) for name in names)


def combined_hash(parts: Iterable[tuple[str, str]]) -> str:
    """Return one hash of named hashes, in whatever order they come."""
    return hashlib.sha256("\n".join(f"{name} {part}" for name, part in sorted(parts)).encode()).hexdigest()


def main_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns that hold means, or all where none is called so."""
    return [name for name in columns if name.endswith("-Mean")] or list(columns)


def plain(value: Any) -> Any:
    """Return nested values as JSON knows them: what is not a number becomes None."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def decimals(value: int | float) -> str:
    """Spell a number for a table; counts as they are, a dash for what is undefined."""
    if isinstance(value, int):
        return str(value)
    return "-" if math.isnan(value) else f"{round(value, 3) + 0.0:.3f}"  # + 0.0: no negative zero


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return cells as lines of text in which columns are below each other, all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join(lines)


def piped(rows: Sequence[Sequence[str]]) -> str:
    """Return cells as a Markdown table."""
    header, *body = rows
    lines = [[header[0] or "object", *header[1:]], ["---", *("---:" for _ in header[1:])], *body]
    bars = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    return "\n".join(f"| {line} |" for line in bars)


def comma_separated(rows: Sequence[Sequence[str]]) -> str:
    """Return cells as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _columns(rows: Mapping[str, Mapping[str, int | float]]) -> list[str]:
    return list(next(iter(rows.values()), {}))


def _cells(rows: Mapping[str, Mapping[str, int | float]], corner: str = "") -> list[list[str]]:
    return [[corner, *_columns(rows)], *([name, *map(decimals, row.values())] for name, row in rows.items())]


def _rounded(values: Float64[np.ndarray, "t"]) -> list[float]:
    return np.round(values, 6).tolist()


def _truth_hashes(video: LabelledVideo) -> Iterator[tuple[str, str]]:
    files = video.mask_files
    for frame in video.counted:
        name = f"{video.name}/{frame}"
        if frame in files:
            yield name, sha256(files[frame])
        else:
            ids = video.truth(frame)
            yield name, hashlib.sha256(f"{ids.shape} {ids.dtype}".encode() + ids.tobytes()).hexdigest()
