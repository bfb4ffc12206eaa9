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
        budget: What all rows have in common; recipes are cut down `in_proportion` unless it says otherwise.
        recipe: What rows are trained by that name no recipe of their own.
        weights: What a table tracks with that trains nothing; several stand for several seeds.
        seeds: Trainings of each row, with the seed of its recipe and those that follow.

    Raises:
        UsageError: Settings that do not fit, or videos are missing.
    """
    budget = replace(budget, cut=in_proportion)
    rows: dict[str, list[System]] = {}
    names: dict[str, str] = {}
    same: dict[str, str] = {}
    for variant in table.variants:
        if table.trains:
            rows[variant.name] = _trained(variant, recipe, budget, seeds)
        else:
            rows[variant.name] = [
                System(name=_numbered(variant.name, i, weights), source=source, track=variant.track)
                for i, source in enumerate(weights)
            ]
        for i, system in enumerate(rows[variant.name]):
            if system.is_recipe:
                mark = json.dumps(to_dict(system.training(budget.train, budget.steps, budget.cut)), sort_keys=True)
                run = names.setdefault(mark, system.name)
                rows[variant.name][i] = replace(system, run=run)
                if run != system.name and not i:
                    same[variant.name] = next(row for row, all_ in rows.items() if run in (s.name for s in all_))
    steps = compare.plan([system for systems in rows.values() for system in systems], budget, out)
    return Plan(table=table, seeds=rows, budget=budget, steps=steps, same=same)


def _trained(variant: Variant, recipe: str, budget: Budget, seeds: int) -> list[System]:
    source = variant.source or recipe
    first = override(api.recipe(source), [*budget.train, *variant.train]).seed
    numbers = range(first, first + seeds)
    return [
        System(
            name=_numbered(variant.name, i, numbers),
            source=source,
            train=(*variant.train, f"seed={seed}"),
            track=variant.track,
        )
        for i, seed in enumerate(numbers)
    ]


def _numbered(name: str, i: int, of: Sequence[object]) -> str:
    return f"{name}.{i + 1}" if len(of) > 1 else name
