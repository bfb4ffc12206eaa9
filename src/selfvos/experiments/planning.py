"""What a table takes: its rows as systems, one for each seed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from selfvos import api
from selfvos.experiments import compare
from selfvos.experiments.compare import Budget, Step
from selfvos.experiments.systems import System, in_proportion
from selfvos.experiments.tables import Table, Variant
from selfvos.settings import override, to_dict


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a table takes."""

    table: Table
    seeds: Mapping[str, Sequence[System]]
    """By row: a system for each seed."""
    budget: Budget
    """What all have in common."""
    steps: Mapping[str, Step]
    """What is to be done, by system."""
    same: Mapping[str, str] = field(default_factory=dict)
    """By row that comes to the same training as an earlier one: that row."""

    @property
    def systems(self) -> list[System]:
        """All systems, rows in the order of the table."""
        return [system for systems in self.seeds.values() for system in systems]


def plan(
    table: Table,
    out: Path,
    budget: Budget,
    *,
    recipe: str = "mask_vos_resnet18",
    weights: Sequence[str] = ("default",),
    seeds: int = 1,
) -> Plan:
    """Work out the rows of a table.

    Args:
        table: What to run.
        out: Folder of the ablation.
        budget: What all rows have in common; recipes are cut down `in_proportion`, whatever it says.
        recipe: What rows are trained by that name no recipe of their own.
        weights: What a table tracks with that trains nothing: weights, or a recipe to train once; several stand for
            several seeds.
        seeds: Trainings of each row, with the seed of its recipe and those that follow.

    Raises:
        UsageError: Settings that do not fit, or videos are missing.
    """
    budget = replace(budget, cut=in_proportion)
    trained = {
        v.name: _trained(v, recipe, budget, seeds) if table.trains else _tracked(v, weights) for v in table.variants
    }
    rows = _with_runs(trained, budget)
    steps = compare.plan([system for systems in rows.values() for system in systems], budget, out)
    first_of = {systems[0].run: row for row, systems in reversed(rows.items())}
    same = {row: first_of[systems[0].run] for row, systems in rows.items() if table.trains}
    same = {row: other for row, other in same.items() if row != other}
    return Plan(table=table, seeds=rows, budget=budget, steps=steps, same=same)


def _trained(variant: Variant, recipe: str, budget: Budget, seeds: int) -> list[System]:
    source = variant.source or recipe
    first = override(api.recipe(source), [*budget.train, *variant.train]).seed
    return [
        System(
            name=_numbered(variant.name, i),
            source=source,
            train=(*variant.train, f"seed={first + i}"),
            track=variant.track,
        )
        for i in range(seeds)
    ]


def _tracked(variant: Variant, weights: Sequence[str]) -> list[System]:
    return [
        System(name=_numbered(variant.name, i), source=source, track=variant.track) for i, source in enumerate(weights)
    ]


def _numbered(name: str, i: int) -> str:
    # The first keeps its name, so that a table may be given more seeds later on.
    return f"{name}.{i + 1}" if i else name


def _with_runs(rows: Mapping[str, Sequence[System]], budget: Budget) -> dict[str, list[System]]:
    """Name each training after the first system that has it, so that those that come to the same share it."""
    names: dict[str, str] = {}

    def with_run(system: System) -> System:
        if not system.is_recipe:
            return system
        config = system.training(budget.train, budget.steps, budget.cut)
        return replace(system, run=names.setdefault(json.dumps(to_dict(config), sort_keys=True), system.name))

    return {row: [with_run(system) for system in systems] for row, systems in rows.items()}
