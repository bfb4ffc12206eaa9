"""What an ablation found: scores over seeds, differences to the adopted row, and the published numbers beside."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfvos.evaluation.comparison import SHARE, Comparison, Difference
from selfvos.evaluation.report import Report, aligned, main_columns, plain
from selfvos.experiments.tables import Table, Variant

MIN_VIDEOS = 6
"""Videos that a verdict takes: with fewer, even all of them pointing one way is no rarer than 1 in 20 by chance."""


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Rows of a table, run here."""

    table: Table
    reports: Mapping[str, Sequence[Report]]
    """By row that succeeded, in the order of the table: one report for each seed."""
    comparison: Comparison
    """Means over seeds, set against the adopted row (or the first, where that one failed)."""
    costs: Mapping[str, Mapping[str, Any]]
    """By row: ``steps`` and ``minutes`` of one training, None where none was trained, and ``fps``; means over seeds."""
    same: Mapping[str, str]
    """By row that this budget makes the same training as an earlier one: that row."""
    failed: Mapping[str, str]
    """By row or seed: why there is no score."""

    @property
    def variants(self) -> list[Variant]:
        """Rows that have a score, in the order of the table."""
        return [variant for variant in self.table.variants if variant.name in self.reports]

    @property
    def against(self) -> str:
        """Row that the others are set against."""
        return self.comparison.names[0]

    @property
    def columns(self) -> list[str]:
        """Columns that are shown of our scores: the published ones where the benchmark has them."""
        overall = self.comparison.first.overall
        return list(self.table.columns) if set(self.table.columns) <= set(overall) else main_columns(list(overall))

    def percents(self, name: str, column: str) -> list[float]:
        """Return a row's score in %, for each seed."""
        return [100 * report.overall[column] for report in self.reports[name]]

    def difference(self, name: str) -> Difference | None:
        """Return how far a row is from the one that it is set against, in the leading column; None for that one."""
        return None if name == self.against else self.comparison.differences[name][self.comparison.column]

    def rows(self) -> list[list[str]]:
        """Return the table, header first: ours, then what was published."""
        table = self.table
        published = any(variant.published for variant in table.variants)
        speed = any(variant.fps for variant in table.variants)
        header = ["row", *map(_short, self.columns), "difference", "verdict"]
        header += [*(f"paper: {_short(column)}" for column in table.columns), "paper: difference"] if published else []
        header += ["frames/s", *["paper: frames/s"] * speed]
        header += ["steps", "minutes"] if table.trains else []
        rows = [self._row(variant, published=published, speed=speed) for variant in self.variants]
        return [header, *rows]

    def _row(self, variant: Variant, *, published: bool, speed: bool) -> list[str]:
        difference, cost = self.difference(variant.name), self.costs[variant.name]
        cells = [variant.name, *(spread(self.percents(variant.name, column)) for column in self.columns)]
        cells += [in_percent(difference), verdict(difference)]
        if published:
            numbers = variant.published or (math.nan,) * len(self.table.columns)
            cells += [*(_shown(number, ".1f") for number in numbers), self._published_difference(variant)]
        cells += [_shown(cost["fps"], ".2f"), *[_shown(variant.fps, ".2f")] * speed]
        return cells + ([_shown(cost["steps"], ".0f"), _shown(cost["minutes"], ".1f")] if self.table.trains else [])

    def _published_difference(self, variant: Variant) -> str:
        adopted = self.table.variant(self.against).published
        if variant.name == self.against or not (variant.published and adopted):
            return ""
        return f"{variant.published[0] - adopted[0]:+.1f}"

    def numbers(self) -> list[list[str]]:
        """Return the same for programs, header first: fractions of 1 and every column, empty where undefined."""
        overall = list(self.comparison.first.overall)
        header = ["row", "seeds", *(f"{column}{kind}" for column in overall for kind in ("", " std"))]
        header += ["difference", "low", "high", "verdict", "fps", "steps", "minutes"]
        header += [f"published {column}" for column in self.table.columns] + ["published fps"]
        rows = []
        for variant in self.variants:
            scores = {c: [report.overall[c] for report in self.reports[variant.name]] for c in overall}
            difference, cost = self.difference(variant.name), self.costs[variant.name]
            ends = (difference.mean, difference.low, difference.high) if difference else (math.nan,) * 3
            numbers = [value for each in scores.values() for value in (statistics.fmean(each), deviation(each))]
            published = variant.published or (math.nan,) * len(self.table.columns)
            cells = [variant.name, str(len(self.reports[variant.name])), *(_shown(n, ".6f") for n in numbers)]
            cells += [*(_shown(end, ".6f") for end in ends), verdict(difference)]
            cells += [_shown(cost[name], ".6g") for name in ("fps", "steps", "minutes")]
            rows.append([*cells, *(_shown(n, "g") for n in published), _shown(variant.fps, "g")])
        return [header, *rows]

    def notes(self) -> Iterator[str]:
        """Yield what a reader of the table has to know, a sentence or two each."""
        seeds = max(map(len, self.reports.values()))
        videos = {one.video for one in self.comparison.first.series}
        yield f"Ours: {self.comparison.first.title}. Scores in %; frames/s of this machine."
        yield (
            f"Difference of {self.comparison.column} to {self.against}: paired, mean over objects, with its "
            f"{SHARE:.0%} interval from a bootstrap over {len(videos)} videos. A row is called better or worse only "
            f"where that interval leaves out 0 and there are {MIN_VIDEOS} videos or more."
        )
        if seeds > 1:
            yield (
                f"± is the standard deviation over {seeds} seeds; differences are means over seeds, and their interval "
                "does not include that spread."
            )
        if any(variant.published for variant in self.table.variants):
            yield (
                f"Paper: published on {self.table.published_on} after full training; compare the order of rows and "
                "their differences, not the numbers."
            )
        for row, other in self.same.items():
            yield f"With this budget {row} is the same training as {other}."
        for name, why in self.failed.items():
            yield f"{name} failed: {why}"

    def text(self) -> str:
        """Return the table as aligned text, with its notes below."""
        return "\n".join([aligned(self.rows()), "", *self.notes()])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        seeds = {
            name: [{**report.overall, "per_sequence": report.per_object} for report in reports]
            for name, reports in self.reports.items()
        }
        published = {v.name: {"scores": list(v.published), "fps": v.fps} for v in self.table.variants}
        about = {"title": self.table.title, "number": self.table.number, "on": self.table.published_on}
        return plain(
            {
                "table": {**about, "columns": self.table.columns, "adopted": self.table.adopted},
                "published": published,
                "seeds": seeds,
                "costs": self.costs,
                "same": self.same,
                "failed": self.failed,
                **self.comparison.to_dict(),
            }
        )


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample; NaN where there is but one value."""
    return statistics.stdev(values) if len(values) > 1 else math.nan


def spread(values: Sequence[float]) -> str:
    """Spell the mean of values and, where there are several, their standard deviation."""
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {deviation(values):.1f}"


def verdict(difference: Difference | None) -> str:
    """Say what an interval allows to say."""
    if difference is None:
        return "adopted"
    if difference.videos < MIN_VIDEOS:
        return "undecided"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "undecided"


def in_percent(difference: Difference | None) -> str:
    """Spell a difference and its interval in %."""
    if difference is None:
        return ""
    mean, low, high = (f"{100 * end + 0.0:+.1f}" for end in (difference.mean, difference.low, difference.high))
    return mean if math.isnan(difference.low) else f"{mean} [{low}, {high}]"


def _short(column: str) -> str:
    return column.removesuffix("-Mean")


def _shown(value: int | float | None, spec: str) -> str:
    return "" if value is None or math.isnan(value) else format(value, spec)
