"""Commands of many runs: compare, ablate."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from selfvos.cli.completion import completing
from selfvos.cli.console import Watcher, out, print_place
from selfvos.cli.options import AsJson, Cache, Device, Root, Sets

TrainOn = Annotated[list[Path] | None, typer.Option("--videos", help="Unlabelled videos to train on.")]
Steps = Annotated[int, typer.Option(min=0, help="Optimiser steps of every training; 0: each its own length.")]
TrackSets = Annotated[list[str] | None, typer.Option("--track", help="Change tracking: frame.short_side_px=240.")]


def compare(
    systems: Annotated[
        list[str], typer.Argument(help="Two or more of [NAME=]RECIPE_OR_WEIGHTS[+SETTING...][@PRESET].")
    ],
    benchmark: Annotated[
        str,
        typer.Option(
            help="Name of a protocol; see 'selfvos list benchmarks'.", autocompletion=completing("benchmarks")
        ),
    ],
    root: Root,
    folder: Annotated[Path, typer.Option("--out", help="Runs, masks, scores and the comparison go here.")],
    *,
    videos: TrainOn = None,
    steps: Steps = 0,
    sets: Sets = None,
    track: TrackSets = None,
    device: Device = "auto",
    cache: Cache = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train recipes alike, track with them and with weights alike, score all, and set them against the first.

    What is done already is not done again: call it once more after an interruption, or with more systems.

    Example: `selfvos compare random-resnet18@crw crw_resnet18@crw default@crw --steps 300 --videos videos/
    --benchmark davis-2016-val --root DAVIS --out comparison`
    """
    from selfvos.experiments import compare as experiment
    from selfvos.experiments.systems import parse

    rows = [parse(text) for text in systems]
    budget = _budget(videos, steps, sets, track, device, cache)
    if dry_run:
        for name, step in experiment.plan(rows, budget, folder).items():
            out.print(f"{name}: {step.describe()}", highlight=False, soft_wrap=True)
        return
    with Watcher() as watcher:
        outcome = experiment.compare(rows, benchmark, root=root, out=folder, budget=budget, watch=watcher)
    if as_json:
        print(json.dumps(outcome.to_dict(), indent=1))
        return
    typer.echo(outcome.table())
    print_place(folder / "comparison.html", as_json=as_json)
    out.print(f"figure: {folder / 'compare.png'}", highlight=False, markup=False, soft_wrap=True)


def ablate(
    table: Annotated[
        str, typer.Argument(help="Name of a table; see 'selfvos list tables'.", autocompletion=completing("tables"))
    ],
    root: Root,
    folder: Annotated[Path, typer.Option("--out", help="Runs, masks, scores, tables and figures go here.")],
    *,
    videos: TrainOn = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            help="Name of a protocol (default: what the table was published on).",
            autocompletion=completing("benchmarks"),
        ),
    ] = None,
    steps: Steps = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of every row.")] = 1,
    recipe: Annotated[
        str, typer.Option(help="What rows are trained by.", autocompletion=completing("recipes"))
    ] = "mask_vos_resnet18",
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", "-w", help="What tables track with that train nothing; several are seeds."),
    ] = None,
    sets: Sets = None,
    track: TrackSets = None,
    device: Device = "auto",
    cache: Cache = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and how long, and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a table of the paper again: every row trained, tracked and scored alike, next to the published numbers.

    What is done already is not done again: call it once more after an interruption.

    Example: `selfvos ablate losses --videos videos/ --steps 2000 --benchmark davis-2016-val --root DAVIS --out losses`
    """
    from selfvos.experiments import ablate as experiment
    from selfvos.experiments import forecast, planning
    from selfvos.experiments.tables import TABLES

    wanted = TABLES.get(table)
    benchmark = benchmark or wanted.published_on
    budget = _budget(videos, steps, sets, track, device, cache)
    asked = planning.plan(wanted, folder, budget, recipe=recipe, weights=weights or ["default"], seeds=seeds)
    if dry_run:
        for line in forecast.describe(asked, benchmark, root, folder):
            out.print(line, highlight=False, markup=False, soft_wrap=True)
        return
    with Watcher() as watcher:
        found = experiment.ablate(asked, benchmark, root=root, out=folder, watch=watcher)
    if as_json:
        print(json.dumps(found.to_dict(), indent=1))
        return
    typer.echo(found.text())
    print_place(folder / "report.html", as_json=as_json)


def _budget(
    videos: list[Path] | None,
    steps: int,
    sets: list[str] | None,
    track: list[str] | None,
    device: str,
    cache: Path | None,
) -> Any:
    from selfvos.experiments.compare import Budget

    return Budget(
        videos=tuple(videos or ()),
        steps=steps,
        train=tuple(sets or ()),
        track=tuple(track or ()),
        device=device,
        cache=cache,
    )
