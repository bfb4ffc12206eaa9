"""Any systems side by side: trained on the same videos, tracked and scored on the same benchmark."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfvos import api
from selfvos.errors import DataError, Diverged, UsageError
from selfvos.evaluation.comparison import Comparison
from selfvos.evaluation.report import aligned, comma_separated, decimals, piped, plain
from selfvos.experiments import plots, runs
from selfvos.experiments.runs import BenchmarkAt
from selfvos.experiments.systems import Cut, System, warmup_of, with_budget
from selfvos.settings import to_dict
from selfvos.stopping import advising
from selfvos.storage import write_bytes, write_text
from selfvos.training.settings import TrainConfig
from selfvos.types import Watch, Watching, ignore

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What all systems of a comparison have in common."""

    videos: tuple[Path, ...] = ()
    """Folders of unlabelled videos; needed as soon as one system is a recipe."""
    steps: int = 0
    """Optimiser steps of every recipe; 0 leaves each its own length."""
    train: tuple[str, ...] = ()
    """Settings of every training, as in ``clips.crop_px=160``."""
    track: tuple[str, ...] = ()
    """Settings of every tracking, as in ``frame.short_side_px=240``."""
    cut: Cut = with_budget
    """How a recipe is cut down to that number of steps."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``mps``."""
    cache: Path | None = None
    """Where decoded videos are kept; None: in the user's cache folder."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a comparison found."""

    comparison: Comparison
    """Scores by system, differences to the first one, per sequence."""
    costs: Mapping[str, Mapping[str, Any]]
    """By system: ``steps`` and ``minutes`` of its training, None where it was not trained here, and ``fps``."""
    failed: Mapping[str, str]
    """By system: why there is no score."""

    def rows(self) -> list[list[str]]:
        """Return the table, header first, the best system on top."""
        overall = {name: report.overall for name, report in self.comparison.reports.items()}
        columns = list(next(iter(overall.values())))
        order = sorted(overall, key=lambda name: -overall[name][columns[0]])
        found = {name: columns_of[self.comparison.column] for name, columns_of in self.comparison.differences.items()}
        header = ["system", *columns, f"against {self.comparison.names[0]}", "steps", "minutes", "frames/s"]
        body = [
            [
                name,
                *(decimals(overall[name][column]) for column in columns),
                str(found.get(name, "")),
                _shown(self.costs[name]["steps"], ".0f"),
                _shown(self.costs[name]["minutes"], ".1f"),
                _shown(self.costs[name]["fps"], ".2f"),
            ]
            for name in order
        ]
        failures = [[name, *[""] * (len(header) - 2), why] for name, why in self.failed.items()]
        return [header, *body, *failures]

    def table(self) -> str:
        """Return it as aligned text."""
        return aligned(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return plain({"costs": self.costs, "failed": self.failed, **self.comparison.to_dict()})


def compare(
    systems: Sequence[System],
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path,
    budget: Budget | None = None,
    watch: Watch = ignore,
) -> Outcome:
    """Train what is to be trained, track and score everything, and set all against the first system.

    What was finished by an earlier call with the same settings is not done again; a training that was interrupted
    goes on. A system that fails is left out of the result, which says why; the others go on.

    Args:
        systems: At least two, with different names. Rows that share a recipe and its settings share one training.
        benchmark: Name of a protocol that is scored here.
        root: Folder of its data set.
        out: ``runs/<training>`` and ``scores/<system>`` go below it, ``compare.{md,csv,json,png}`` and
            ``comparison.html`` into it.
        budget: What all have in common.
        watch: Told what is being done and how much of it; see `Watch`.

    Raises:
        UsageError: Settings that do not fit, before anything is trained; fewer than two systems succeeded.
        Stopped: The watch asked for it; called again, it goes on.
    """
    budget, root, out = budget or Budget(), Path(root), Path(out)
    steps = plan(systems, budget, out)
    failed = carry_out(steps, BenchmarkAt(name=benchmark, root=root), out, budget, watch)
    done = [system.name for system in systems if system.name not in failed]
    if len(done) < 2:
        raise UsageError(f"nothing to compare: {'; '.join(f'{name}: {why}' for name, why in failed.items())}")
    folders = {name: out / "scores" / name / "masks" for name in done}
    comparison = api.score_together(folders, benchmark, root=root, out=out, watch=watch)
    by_name = {name: costs(steps[name], out / "scores" / name) for name in done}
    outcome = Outcome(comparison=comparison, costs=by_name, failed=failed)
    _write(outcome, out)
    return outcome


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a comparison will do for one system."""

    system: System
    run: Path | None
    """Folder of its training; None where it is not trained here."""
    training: TrainConfig | None
    """Settings of that training."""
    done: bool
    """Whether the training is complete."""
    warmup: Path | None = None
    """Folder of a warm-up that it shares with others; None where it does its own."""

    def describe(self) -> str:
        """Return what is to be done, in a few words."""
        if self.training is None:
            return "weights at hand; track and score"
        phases = [phase for phase in (self.training.warmup, self.training.joint) if phase.epochs]
        budgeted = all(phase.steps_per_epoch for phase in phases)
        steps = sum(phase.epochs * phase.steps_per_epoch for phase in phases)
        length = f"{steps} steps" if budgeted else "its own length"
        start = f" from {self.warmup}" if self.warmup else ""
        return f"{'trained already' if self.done else f'train ({length}){start}'} in {self.run}; track and score"


def plan(systems: Sequence[System], budget: Budget, out: Path) -> dict[str, Step]:
    """Return what a comparison would train, by system.

    Raises:
        UsageError: Settings that do not fit, a name given twice, videos missing.
    """
    names = [system.name for system in systems]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"two systems are called {twice}; name one of them, as in other={twice}")
    if any(system.is_recipe for system in systems) and not budget.videos:
        raise UsageError("there are recipes to train, but no videos; name a folder with --videos")
    return _with_shared_warmups({system.name: _step(system, budget, out) for system in systems}, out)


def carry_out(
    steps: Mapping[str, Step], benchmark: BenchmarkAt, out: Path, budget: Budget, watch: Watch = ignore
) -> dict[str, str]:
    """Train, track and score all systems; those with the same weights are tracked side by side.

    Args:
        steps: What to do, by system; see `plan`.
        benchmark: What is tracked.
        out: Folder of the experiment.
        budget: What all have in common.
        watch: Told what is being done and how much of it; see `Watch`.

    Returns:
        By system that failed: why.

    Raises:
        UsageError: The benchmark gives no scores of masks.
        Stopped: The watch asked for it; called again, it goes on.
    """
    runs.require_scored(benchmark)
    failed: dict[str, str] = {}
    groups: dict[Path | str, list[Step]] = {}
    for step in steps.values():
        groups.setdefault(step.run or step.system.source, []).append(step)
    for group in groups.values():
        names = [step.system.name for step in group]
        try:
            with advising(f"{names[0]} is not finished; call the same command again to go on"):
                _run(group, benchmark, out, budget, watch)
        except (DataError, Diverged) as error:
            for name in names:
                log.warning("%s: %s", name, error)
                failed[name] = str(error)
    return failed


def _with_shared_warmups(steps: dict[str, Step], out: Path) -> dict[str, Step]:
    """Let runs that would do the same warm-up go on from one."""
    runs_of: dict[Path, set[Path]] = {}
    places: dict[str, Path] = {}
    for name, step in steps.items():
        warmup = warmup_of(step.training) if step.training else None
        if step.run and warmup:
            mark = hashlib.sha256(json.dumps(to_dict(warmup), sort_keys=True).encode()).hexdigest()[:8]
            places[name] = out / "runs" / f"warmup-{mark}"
            runs_of.setdefault(places[name], set()).add(step.run)
    shared = {name: place for name, place in places.items() if len(runs_of[place]) > 1}
    return {name: replace(step, warmup=shared.get(name)) for name, step in steps.items()}


def _step(system: System, budget: Budget, out: Path) -> Step:
    if not system.is_recipe:
        return Step(system=system, run=None, training=None, done=True)
    run = out / "runs" / system.folder
    training = system.training(budget.train, budget.steps, budget.cut)
    return Step(system=system, run=run, training=training, done=runs.is_trained(run))


def _run(group: Sequence[Step], benchmark: BenchmarkAt, out: Path, budget: Budget, watch: Watch) -> None:
    step, others = group[0], f" and {len(group) - 1} more" if len(group) > 1 else ""
    telling = _prefixed(watch, f"{step.system.name}{others}")
    if step.run and step.training:
        warmup = warmup_of(step.training)
        if step.warmup and warmup and not step.done:
            _train(warmup, step.warmup, budget, _prefixed(watch, step.warmup.name))
            runs.begin_from(warmup, step.warmup, step.training, step.run)
        _train(step.training, step.run, budget, telling)
    model = api.load(step.run or step.system.source, device=budget.device)
    configs = {one.system.name: one.system.tracking(model, budget.track) for one in group}
    runs.score_all(model, configs, benchmark, out / "scores", watch=telling)


def _prefixed(watch: Watch, who: str) -> Watch:
    """Return a watch that hears of every stage whose it is."""
    return Watching(
        lambda stage, done, total, **facts: watch.tell(f"{who}: {stage}", done, total, **facts), watch.stopped
    )


def _train(config: TrainConfig, run: Path, budget: Budget, watch: Watch) -> None:
    runs.train_once(config, budget.videos, run, device=budget.device, cache=budget.cache, watch=watch)


def costs(step: Step, scores: Path) -> dict[str, Any]:
    """Return what a system cost that is trained and scored: ``steps`` and ``minutes`` of training, ``fps``."""
    training = runs.training_cost(step.run) if step.run else {"steps": None, "minutes": None}
    return {**training, "fps": runs.frames_per_second(scores)}


def _shown(value: int | float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)


def _write(outcome: Outcome, out: Path) -> None:
    write_text(out / "compare.md", f"{outcome.comparison.first.title}\n\n{piped(outcome.rows())}\n")
    write_text(out / "compare.csv", comma_separated(outcome.rows()))
    write_text(out / "compare.json", json.dumps(outcome.to_dict(), indent=1) + "\n")
    write_bytes(out / "compare.png", plots.against_costs(outcome.comparison, outcome.costs))
