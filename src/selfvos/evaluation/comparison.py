"""Several results on one benchmark, side by side: who is ahead, where, and how sure that is."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from selfvos.errors import UsageError
from selfvos.evaluation.report import Report, aligned, comma_separated, decimals, main_columns, piped, plain
from selfvos.storage import write_text

SHARE = 0.95
"""Probability that an interval stands for."""
SAMPLES = 10_000
"""Times that the videos are drawn anew."""
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much one result's mean over objects is above the first one's."""

    mean: float
    low: float
    """Lower end of its interval; NaN where there is but one video."""
    high: float
    """Upper end of its interval; NaN where there is but one video."""
    ahead: int
    """Videos whose objects score higher on average."""
    videos: int

    def __str__(self) -> str:
        return f"{signed(self.mean)} [{signed(self.low)}, {signed(self.high)}]"


class Cell(NamedTuple):
    """What stands in one place of a table."""

    text: str
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Reports on the same objects, set against the first of them."""

    reports: Mapping[str, Report]
    """By name of the result, at least two."""
    differences: Mapping[str, Mapping[str, Difference]]
    """By name of each result but the first, then by column."""

    @property
    def names(self) -> list[str]:
        """Names of the results, in order."""
        return list(self.reports)

    @property
    def first(self) -> Report:
        """The report that the others are set against."""
        return self.reports[self.names[0]]

    @property
    def column(self) -> str:
        """The column that objects are compared in: the leading mean."""
        return next(iter(self.differences[self.names[1]]))

    def objects(self) -> list[list[Cell]]:
        """Return the table of the leading column, header first: each object, then the whole."""
        rows = [[one.per_object[name][self.column] for one in self.reports.values()] for name in self.first.per_object]
        names = list(self.first.per_object)
        whole = self.column if self.column in self.first.overall else next(iter(self.first.overall))
        names.append("all" if whole == self.column else f"all ({whole})")
        rows.append([one.overall[whole] for one in self.reports.values()])
        body = [[Cell(name), *_against_first(self.column, row)] for name, row in zip(names, rows, strict=True)]
        return [[Cell(""), *map(Cell, _with_difference(self.names))], *body]

    def summary(self) -> list[list[Cell]]:
        """Return the table of all overall scores, header first: a row for each result."""
        columns = list(self.first.overall)
        scores = [_marked(column, [one.overall[column] for one in self.reports.values()]) for column in columns]
        rows = [[Cell(name), *cells] for name, *cells in zip(self.names, *scores, strict=True)]
        return [[Cell("result"), *map(Cell, columns)], *rows]

    def intervals(self) -> list[list[str]]:
        """Return the table of differences to the first result, header first: a row for each other result."""
        columns = list(self.differences[self.names[1]])
        rows = [
            [
                name,
                *map(str, found.values()),
                f"{found[self.column].ahead} of {found[self.column].videos}",
            ]
            for name, found in self.differences.items()
        ]
        return [[f"against {self.names[0]}", *columns, "videos ahead"], *rows]

    def table(self, strong: Callable[[str], str] = str) -> str:
        """Return the comparison as aligned text of several lines.

        Args:
            strong: What to do to the best score of a row, such as to print it in bold.
        """
        rows = self.objects()
        lines = aligned([[cell.text for cell in row] for row in rows]).splitlines()
        shown = [_strengthen(line, row, strong) for line, row in zip(lines, rows, strict=True)]
        origins = [f"{name}: {report.origin}" for name, report in self.reports.items()]
        differences = [f"{_about(self.differences)}:", aligned(self.intervals())]
        return "\n".join([self._title(), "", *shown, "", *differences, "", *origins])

    def markdown(self) -> str:
        """Return the comparison as Markdown tables below a title line, ending in a line break."""
        tables = [self.summary(), [list(map(Cell, row)) for row in self.intervals()], self.objects(), self.origins()]
        texts = [piped([[f"**{cell.text}**" if cell.best else cell.text for cell in row] for row in t]) for t in tables]
        return "\n\n".join([self._title(), texts[0], f"{_about(self.differences)}:", *texts[1:]]) + "\n"

    def origins(self) -> list[list[Cell]]:
        """Return the table of what produced each result, header first."""
        keys = dict.fromkeys(key for one in self.reports.values() for key in one.provenance)
        rows = [[key, *(str(one.provenance.get(key, "")) for one in self.reports.values())] for key in keys]
        return [list(map(Cell, row)) for row in [["provenance", *self.names], *rows]]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the series as plain values, ready for JSON; what is undefined is None."""
        differences = {
            name: {column: {**vars(one)} for column, one in found.items()} for name, found in self.differences.items()
        }
        interval = {"share": SHARE, "samples": SAMPLES, "seed": SEED, "drawn": "videos"}
        results = {name: report.to_dict() for name, report in self.reports.items()}
        against = self.names[0]
        return plain({"results": results, "against": against, "differences": differences, "interval": interval})

    def write(self, folder: Path | str) -> None:
        """Write ``comparison.md``, ``comparison.csv`` (all columns of all objects) and ``comparison.json``.

        Older files of these names are replaced, never read.

        Args:
            folder: Where to; made if missing.

        Raises:
            UsageError: The folder cannot be written to.
            OutOfSpace: The disk is full.
        """
        folder = Path(folder)
        write_text(folder / "comparison.md", self.markdown())
        write_text(folder / "comparison.csv", comma_separated(self._every_column()))
        write_text(folder / "comparison.json", json.dumps(self.to_dict(), indent=1) + "\n")

    def _every_column(self) -> list[list[str]]:
        others = [f"{name} - {self.names[0]}" for name in self.names[1:]]
        rows = [["object", "column", *self.names, *others]]
        for name, columns in self.first.per_object.items():
            for column in columns:
                values = [one.per_object[name][column] for one in self.reports.values()]
                differences = [value - values[0] for value in values[1:]]
                rows.append([name, column, *(f"{value:.6f}" for value in [*values, *differences])])
        return rows

    def _title(self) -> str:
        return f"{self.first.title}, {self.column}"


def compare(reports: Mapping[str, Report]) -> Comparison:
    """Set results against the first of them, object by object.

    Args:
        reports: By name, at least two, on the same objects.

    Raises:
        UsageError: There are fewer than two, or they are on different objects or data.
    """
    if len(reports) < 2:
        raise UsageError(f"a comparison needs at least 2 results, got {len(reports)}")
    first, *others = reports
    for name in others:
        if _subject(reports[name]) != _subject(reports[first]):
            raise UsageError(f"{first} and {name} were scored on different data; score both on the same")
    columns = main_columns(list(next(iter(reports[first].per_object.values()))))
    differences = {name: {c: _difference(reports[first], reports[name], c) for c in columns} for name in others}
    return Comparison(reports=reports, differences=differences)


def bootstrap_interval(
    groups: Sequence[Float64[np.ndarray, "_"]], *, share: float = SHARE, samples: int = SAMPLES, seed: int = SEED
) -> tuple[float, float]:
    """Return the interval in which the mean of all values lies when whole groups are drawn anew.

    Args:
        groups: Values that belong together, such as the paired differences of one video's objects, and so are drawn
            together; none is empty.
        share: Probability of the interval, in (0, 1).
        samples: How often as many groups as there are get drawn, with repetition.
        seed: Of the draws.

    Returns:
        Lower and upper end; NaN where there are fewer than two groups, which tell nothing of their spread.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap: percentile interval, here of clusters.
    """
    if len(groups) < 2:
        return float("nan"), float("nan")
    sums, counts = (np.array([measure(group) for group in groups]) for measure in (np.sum, np.size))
    drawn = np.random.default_rng(seed).integers(0, len(groups), (samples, len(groups)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [50 * (1 - share), 50 * (1 + share)])
    return float(low), float(high)


def unique_names(folders: Sequence[Path]) -> list[str]:
    """Name folders by as few of their last parts as tell them apart.

    Raises:
        UsageError: Two are the same.
    """
    whole = [folder.resolve() for folder in folders]
    twice = next((folders[i] for i, folder in enumerate(whole) if folder in whole[:i]), None)
    if twice is not None:
        raise UsageError(f"{twice} is given twice; give each result once")
    for parts in range(1, max(len(folder.parts) for folder in whole) + 1):
        names = ["/".join(folder.parts[-parts:]) for folder in whole]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("different paths differ in some part")


def signed(value: float) -> str:
    """Spell a difference for a table, with its sign."""
    return decimals(value) if np.isnan(value) else f"{round(value, 3) + 0.0:+.3f}"


def _subject(report: Report) -> tuple[object, ...]:
    return report.protocol, list(report.per_object), report.provenance.get("data")


def _difference(first: Report, other: Report, column: str) -> Difference:
    by_video: dict[str, list[float]] = {}
    for one in first.series:
        difference = other.per_object[one.name][column] - first.per_object[one.name][column]
        if not np.isnan(difference):
            by_video.setdefault(one.video, []).append(difference)
    groups = [np.array(values) for values in by_video.values()]
    low, high = bootstrap_interval(groups)
    mean = float(np.concatenate(groups).mean()) if groups else float("nan")
    ahead = sum(bool(group.mean() > 0) for group in groups)
    return Difference(mean=mean, low=low, high=high, ahead=ahead, videos=len(groups))


def _marked(column: str, values: Sequence[float]) -> list[Cell]:
    texts = [decimals(value) for value in values]
    numbers = [round(value, 3) for value in values if not np.isnan(value)]
    best = decimals((min if column.endswith("-Decay") else max)(numbers)) if len(set(numbers)) > 1 else None
    return [Cell(text, text == best) for text in texts]


def _against_first(column: str, values: Sequence[float]) -> list[Cell]:
    first, *others = _marked(column, values)
    differences = [Cell(signed(value - values[0])) for value in values[1:]]
    return [first, *(cell for pair in zip(others, differences, strict=True) for cell in pair)]


def _with_difference(names: Sequence[str]) -> list[str]:
    first, *others = names
    return [first, *(text for name in others for text in (name, "diff"))]


def _strengthen(line: str, row: Sequence[Cell], strong: Callable[[str], str]) -> str:
    """Mark the best cells of an aligned line, from right to left so that places stay true."""
    end = len(line)
    for cell in reversed(row[1:]):
        start = line.rindex(cell.text, 0, end) if cell.text else end
        if cell.best:
            line = line[:start] + strong(cell.text) + line[start + len(cell.text) :]
        end = start
    return line


def _about(differences: Mapping[str, Mapping[str, Difference]]) -> str:
    found = next(iter(next(iter(differences.values())).values()))
    return f"mean difference [{SHARE:.0%} interval, bootstrap over {found.videos} videos]"
