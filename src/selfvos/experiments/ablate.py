"""A published table, run again on one's own videos and benchmark."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfvos import api
from selfvos.api.tasks.base import task_of
from selfvos.errors import UsageError
from selfvos.evaluation.comparison import compare as set_against
from selfvos.evaluation.pictures import frames_apart
from selfvos.evaluation.report import comma_separated, mean_report, piped
from selfvos.experiments import ablation_page, compare, diagnostics, plots
from selfvos.experiments.ablation import Ablation
from selfvos.experiments.planning import Plan
from selfvos.experiments.runs import BenchmarkAt
from selfvos.stopping import advising
from selfvos.storage import write_bytes, write_text
from selfvos.types import Watch, ignore

_ALL_SCORED = "all rows are tracked and scored; call the same command again for the table"


def ablate(asked: Plan, benchmark: str, *, root: str | Path, out: str | Path, watch: Watch = ignore) -> Ablation:
    """Run a table: train, track and score all rows, set them against the adopted one, write and draw what was found.

    What was finished by an earlier call with the same settings is not done again; a training that was interrupted
    goes on, and so does tracking after the last video that was finished.

    Args:
        asked: What to run.
        benchmark: Name of a protocol that is scored here.
        root: Folder of its data set.
        out: ``table.{md,csv,json}``, ``figure.png``, ``report.html`` and the figures of the diagnostics go into it,
            ``runs/<row>`` and ``scores/<row>`` below it.
        watch: Told what is being done and how much of it; see `Watch`.

    Raises:
        UsageError: Settings that do not fit; fewer than two rows succeeded.
        Stopped: The watch asked for it; called again, it goes on.
    """
    scored_on, out = BenchmarkAt(name=benchmark, root=Path(root)), Path(out)
    failed = compare.carry_out(asked.steps, scored_on, out, asked.budget, watch)
    done = {
        row: names
        for row, systems in asked.seeds.items()
        if (names := [system.name for system in systems if system.name not in failed])
    }
    if len(done) < 2:
        raise UsageError(f"nothing to compare: {'; '.join(f'{name}: {why}' for name, why in failed.items())}")
    with advising(_ALL_SCORED):
        reports = {
            row: [
                api.score(_masks(out, name), benchmark, root=root, settings=_notes(out, name), watch=watch)
                for name in names
            ]
            for row, names in done.items()
        }
    order = sorted(reports, key=lambda row: row != asked.table.adopted)
    found = Ablation(
        table=asked.table,
        reports=reports,
        comparison=set_against({row: mean_report(reports[row]) for row in order}),
        costs={row: _costs(asked, names, out) for row, names in done.items()},
        same=asked.same,
        failed=failed,
    )
    with advising(_ALL_SCORED):
        _write(found, asked, {row: names[0] for row, names in done.items()}, scored_on, out, watch)
    return found


def _masks(out: Path, name: str) -> Path:
    return out / "scores" / name / "masks"


def _notes(out: Path, name: str) -> dict[str, str | float]:
    """Return what the report of a system says of its weights, its tracking and its being supervised."""
    report = json.loads((out / "scores" / name / "report.json").read_text())
    return {
        key: v
        for key, v in report["provenance"].items()
        if key in ("supervision", "weights") or key.startswith("track.")
    }


def _costs(asked: Plan, names: Sequence[str], out: Path) -> dict[str, Any]:
    each = [compare.costs(asked.steps[name], out / "scores" / name) for name in names]
    return {
        key: None if any(cost[key] is None for cost in each) else statistics.fmean(cost[key] for cost in each)
        for key in each[0]
    }


def _write(
    found: Ablation,
    asked: Plan,
    shown: Mapping[str, str],
    benchmark: BenchmarkAt,
    out: Path,
    watch: Watch,
) -> None:
    table = found.table
    figures = {"figure": (plots.ablation(found), f"{table.number}: {table.title}, here and as published.")}
    figures |= diagnostics.draw(found, asked, shown, benchmark, out, watch)
    for name, (png, _) in figures.items():
        write_bytes(out / f"{name}.png", png)
    heading = [f"# {table.number}: {table.title}", table.about, piped(found.rows()), *found.notes()]
    pictured = [f"![{about}]({name}.png)" for name, (_, about) in figures.items()]
    write_text(out / "table.md", "\n\n".join([*heading, *pictured]) + "\n")
    write_text(out / "table.csv", comma_separated(found.numbers()))
    write_text(out / "table.json", json.dumps(found.to_dict(), indent=1) + "\n")
    folders = {row: _masks(out, shown[row]) for row in found.comparison.names}
    firsts = {row: found.reports[row][0] for row in found.comparison.names}
    videos = benchmark.open()
    pictures = task_of(videos).pictures(videos, folders, firsts, frames_apart(set_against(firsts)))
    clusters = diagnostics.cluster_pictures(asked, shown)
    write_text(out / "report.html", ablation_page.page_of(found, figures, pictures, clusters))
