"""Figures of experiments."""

import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from selfvos.evaluation.births import Births, places
from selfvos.evaluation.comparison import Comparison
from selfvos.evaluation.report import Report
from selfvos.experiments.ablation import Ablation, deviation
from selfvos.experiments.findings import RoundOfDecoding, RoundOfMasks
from selfvos.experiments.tables import Table, Variant


class _Scores(NamedTuple):
    """Scores of the rows of a table, from here or from the paper."""

    means: Sequence[float]
    style: Mapping[str, Any]
    """How their marks look."""
    fps: Sequence[float | None]
    spreads: Sequence[float] | None = None
    """Standard deviations; None where there is one seed."""


def against_costs(comparison: Comparison, costs: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Draw the leading score of each system against the minutes of its training and against its speed.

    Args:
        comparison: The scores.
        costs: By system: ``minutes`` (None where it was not trained here) and ``fps``.

    Returns:
        The PNG.
    """
    from matplotlib.figure import Figure

    column = next(iter(comparison.first.overall))
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, cost, label in zip(
        figure.subplots(1, 2, sharey=True),
        ("minutes", "fps"),
        ("minutes of training", "frames tracked per second"),
        strict=True,
    ):
        for number, (name, report) in enumerate(comparison.reports.items()):
            if costs[name][cost] is not None:
                place, color = (costs[name][cost], report.overall[column]), _colour(number)
                axes.plot(*place, "o", color=color)
                axes.annotate(name, place, xytext=(5, 3), textcoords="offset points", fontsize=8, color=color)
        axes.set_xlabel(label)
        axes.margins(x=0.2, y=0.1)
        _plain(axes)
    figure.axes[0].set_ylabel(column)
    return _png(figure)


def ablation(found: Ablation) -> bytes:
    """Draw the leading score of each row here, and beside it as published, each on a scale of its own.

    Rows with an order are a line over it, with frames per second on a second axis where speed was published; others
    are dots. Bars are standard deviations over seeds.

    Returns:
        The PNG.
    """
    from matplotlib.figure import Figure

    table, column = found.table, found.columns[0]
    published = [variant for variant in table.variants if variant.published]
    height = 4.2 if table.axis else 1.4 + 0.34 * len(found.variants)
    figure = Figure(figsize=(11, height), layout="constrained")
    both = figure.subplots(1, 2 if published else 1, sharey=not table.axis, squeeze=False)[0]
    scores = [found.percents(variant.name, column) for variant in found.variants]
    seeds = max(map(len, scores))
    means = [statistics.fmean(each) for each in scores]
    spreads = [deviation(each) for each in scores] if seeds > 1 else None
    draw = _over_axis if table.axis else _by_row
    first = found.comparison.first
    fps = [found.costs[variant.name]["fps"] for variant in found.variants]
    draw(both[0], table, found.variants, _Scores(means, _HERE, fps, spreads))
    both[0].set_title(f"here: {first.protocol}, {first.objects} {first.unit}" + f", {seeds} seeds" * (seeds > 1))
    if published:
        leading = [variant.published[0] for variant in published]
        draw(both[1], table, published, _Scores(leading, _PAPER, [variant.fps for variant in published]))
        both[1].set_title(f"paper: {table.published_on}, full training")
    for axes, label in zip(both, (column, table.columns[0]), strict=False):
        (axes.set_ylabel if table.axis else axes.set_xlabel)(f"{label.removesuffix('-Mean')} in %")
        _plain(axes)
    return _png(figure)


def over_frames(found: Ablation) -> bytes:
    """Draw how the scores of each row change with the distance from the first frame, as means over objects.

    Frames that less than half of the objects have are left out.

    Returns:
        The PNG.
    """
    from matplotlib.figure import Figure

    lines = {name: by_frame(report) for name, report in found.comparison.reports.items()}
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots()
    for variant in found.variants:
        line = lines[variant.name]
        axes.plot(range(1, len(line) + 1), 100 * line, **_line(found, variant.name))
    measure = next(iter(found.comparison.first.series[0].values))
    axes.set_xlabel("frames after the given mask")
    axes.set_ylabel(f"{measure} in %, mean over objects")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _plain(axes)
    return _png(figure)


def by_frame(report: Report) -> Float64[np.ndarray, "t"]:
    """Return the first measure of a report by the number of the frame that counts, as the mean over objects."""
    values = [next(iter(one.values.values())) for one in report.series]
    length = int(np.median([len(each) for each in values]))
    table = np.full((len(values), length), np.nan)
    for row, each in zip(table, values, strict=True):
        row[: len(each)] = each[:length]
    sums, counts = np.nansum(table, axis=0), (~np.isnan(table)).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def pseudo_masks(rounds: Mapping[str, Sequence[RoundOfMasks]], found: Ablation) -> bytes:
    """Draw how pseudo masks change over training.

    Args:
        rounds: By row: its rounds of pseudo masks.
        found: The table; its adopted row stands out.

    Returns:
        The PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    panels = {
        "agreement": "cells that agree with the round before, in %",
        "largest": "cells in the largest cluster, in %",
        "compactness": "cells in the main piece of their cluster, in %",
    }
    for axes, (name, label) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for row, each in rounds.items():
            points = [(100 * one.share, 100 * getattr(one, name)) for one in each]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, **_line(found, row))
        axes.set_xlabel("joint phase done, in %")
        axes.set_ylabel(label)
        _plain(axes)
    figure.axes[-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure)


def refinement(rounds: Sequence[RoundOfDecoding]) -> bytes:
    """Draw how far masks move from the coarse one, and how good they are, round by round.

    Returns:
        The PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    numbers = [one.number for one in rounds]
    panels = {
        "differs from the coarse mask": [one.from_coarse for one in rounds],
        "differs from the round before": [one.from_before for one in rounds],
    }
    left, right = figure.subplots(1, 2)
    for i, (label, values) in enumerate(panels.items()):
        left.plot(numbers[1:], [100 * value for value in values[1:]], "o-", color=_colour(i), label=label)
    left.set_ylabel("1 - J of the two masks, in %")
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=9)
    right.plot(numbers, [100 * one.truth for one in rounds], "o-", color=_HERE["color"])
    right.set_ylabel("J with the true mask, in %")
    for axes in (left, right):
        axes.set_xlabel("round within a frame (0: coarse)")
        axes.set_xticks(numbers if axes is right else numbers[1:])
        _plain(axes)
    return _png(figure)


def births(found: Mapping[str, Births]) -> bytes:
    """Draw where the errors of all videos are born: when, how well matched, in what place, and how few there are.

    Returns:
        The PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    (when, score), (where, few) = figure.subplots(2, 2)
    taken = {"background taken": False, "object missed": True}
    every = list(found.values())
    length = max((int(one.frame.max(initial=0)) for one in every), default=0) + 1
    bins = np.linspace(0, 1, 21)
    for number, (label, missed) in enumerate(taken.items()):
        chosen = [(one.found == 0) == missed for one in every]
        weights = [one.descendants[at] for one, at in zip(every, chosen, strict=True)]
        by_frame = sum(np.bincount(one.frame[at], w, length) for one, at, w in zip(every, chosen, weights, strict=True))
        when.plot(by_frame, color=_colour(number), label=label)
        scores = np.concatenate([one.score[at] for one, at in zip(every, chosen, strict=True)]).clip(0, 1)
        score.hist(scores, bins, weights=np.concatenate(weights), histtype="step", color=_colour(number))
        shares = [
            sum(int(w[place[at]].sum()) for place, at, w in zip(rows, chosen, weights, strict=True))
            for rows in zip(*(places(one).values() for one in every), strict=True)
        ]
        where.barh(np.arange(len(shares)) + 0.4 * number, shares, 0.4, color=_colour(number))
    where.set_yticks(np.arange(4) + 0.2, list(places(every[0])))
    for name, one in found.items():
        largest = np.sort(one.descendants)[::-1].cumsum()
        few.plot(np.arange(1, len(largest) + 1), 100 * largest / max(1, largest[-1:].sum()), label=name, linewidth=1)
    few.set_xscale("log")
    when.legend(frameon=False, fontsize=9)
    when.set(xlabel="frame of the birth", ylabel="wrong cells that descend")
    score.set(xlabel="best score of the cell where the error is born", ylabel="wrong cells that descend")
    where.set_xlabel("wrong cells that descend")
    few.set(xlabel="births, largest first", ylabel="% of a video's wrong cells")
    for axes in figure.axes:
        _plain(axes)
    return _png(figure)


_HERE: dict[str, Any] = {"color": "#0072b2", "marker": "o", "linestyle": "-"}
_PAPER: dict[str, Any] = {"color": "#d55e00", "marker": "s", "linestyle": "--", "markerfacecolor": "white"}
_SPEED = "#5c6670"
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#b0508c",
    "#8a6d00",
    "#3a9bd1",
    "#5c6670",
    "#7a4fb5",
    "#a33b20",
    "#4c8c2b",
)


def _colour(i: int) -> str:
    return _COLOURS[i % len(_COLOURS)]


def _line(found: Ablation, row: str) -> dict[str, Any]:
    """Return how a row's line looks, in all figures alike."""
    if row == found.against:
        return {"color": "black", "linewidth": 2.4, "zorder": 3, "label": f"{row} (adopted)"}
    number = [variant.name for variant in found.table.variants].index(row)
    return {"color": _colour(number), "linewidth": 1.4, "label": row}


def _over_axis(axes: Any, table: Table, variants: Sequence[Variant], shown: _Scores) -> None:
    """Draw scores as a line over the places of their rows, in their order there."""
    order = sorted(range(len(variants)), key=lambda i: variants[i].place or 0.0)
    places = [variants[i].place or 0.0 for i in order]
    spread = None if shown.spreads is None else [shown.spreads[i] for i in order]
    axes.set_xscale(table.scale)
    axes.errorbar(
        places, [shown.means[i] for i in order], yerr=spread, capsize=3, markersize=7, zorder=3, **shown.style
    )
    adopted = [i for i in order if variants[i].name == table.adopted]
    for i in adopted:
        axes.axvline(variants[i].place, color="#d4d9de", linewidth=6, zorder=0)
    axes.set_xticks(places, [variants[i].tick or f"{variants[i].place:g}" for i in order], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlabel(f"{table.axis} (grey: adopted)")
    if any(variant.fps for variant in table.variants) and all(shown.fps):
        second = axes.twinx()
        second.plot(places, [shown.fps[i] for i in order], color=_SPEED, linestyle=":", marker=".")
        second.set_ylabel("frames per second (dotted)", color=_SPEED)
        second.set_ylim(0, 1.15 * max(value for value in shown.fps if value is not None))
        second.spines[["top"]].set_visible(False)


def _by_row(axes: Any, table: Table, variants: Sequence[Variant], shown: _Scores) -> None:
    """Draw scores as dots, a line of the picture for each row of the table, the first on top."""
    places = [table.variants.index(variant) for variant in variants]
    for i, (place, score) in enumerate(zip(places, shown.means, strict=True)):
        axes.annotate(
            f"{score:.1f}", (score, place), xytext=(0, 7), textcoords="offset points", fontsize=8, ha="center"
        )
        if variants[i].name == table.adopted:
            axes.axhspan(place - 0.5, place + 0.5, color="#eef1f4", zorder=0)
    axes.errorbar(
        shown.means, places, xerr=shown.spreads, capsize=3, markersize=7, **{**shown.style, "linestyle": "none"}
    )
    axes.set_yticks(range(len(table.variants)), [variant.name for variant in table.variants])
    axes.set_ylim(len(table.variants) - 0.4, -0.7)
    axes.margins(x=0.12)


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return file.getvalue()
