"""Figures of experiments."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfvos.evaluation.comparison import Comparison
from selfvos.storage import atomic_path


def against_costs(comparison: Comparison, costs: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw the leading score of each system against the minutes of its training and against its speed.

    Args:
        comparison: The scores.
        costs: By system: ``minutes`` (None where it was not trained here) and ``fps``.
        path: The PNG to write.
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
        for name, report in comparison.reports.items():
            if costs[name][cost] is not None:
                place = costs[name][cost], report.overall[column]
                (dot,) = axes.plot(*place, "o")
                axes.annotate(name, place, xytext=(5, 3), textcoords="offset points", fontsize=8, color=dot.get_color())
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.15, y=0.1)
    figure.axes[0].set_ylabel(column)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
