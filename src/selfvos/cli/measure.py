"""Commands that score: evaluate and score."""

import json
from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.completion import completing
from selfvos.cli.console import Watcher, print_place, print_report
from selfvos.cli.options import (
    AsJson,
    Changes,
    Configs,
    Device,
    Preset,
    Protocol,
    Quality,
    Root,
    Rounds,
    Sets,
    track_settings,
)


def evaluate(
    weights: Annotated[
        str,
        typer.Argument(
            help="Name, file or run; 'default' stands for the weights that ship.",
            autocompletion=completing("weights"),
        ),
    ],
    benchmark: Protocol,
    root: Root,
    folder: Annotated[Path, typer.Option("--out", help="Masks, tables and report.json go here.")],
    *,
    preset: Preset = None,
    quality: Quality = None,
    rounds: Rounds = None,
    configs: Configs = None,
    sets: Sets = None,
    overlays: Annotated[bool, typer.Option("--overlays", help="Also write an overlay video of each video.")] = False,
    diagnosed: Annotated[
        bool,
        typer.Option("--diagnose", help="Track once more, and find where errors are born: births.png, .md, .json."),
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Track a whole benchmark, write the masks or points, score them.

    What a protocol lays down about tracking holds unless a preset is named; --config, --set and
    --rounds change settings, each more than the one before.

    Example: `selfvos evaluate default davis-2016-val --root DAVIS --out result`
    """
    from selfvos import api

    model = api.load(weights, device=device)
    if preset is None:
        config = Changes(configs, sets, rounds).of(api.protocol_config(model, benchmark, root=root, quality=quality))
    else:
        config = track_settings(model, preset, quality, Changes(configs, sets, rounds))
    with Watcher() as watcher:
        report = api.evaluate(model, benchmark, root=root, out=folder, config=config, watch=watcher)
        if overlays:
            api.draw_overlays(folder / "masks", benchmark, root=root, out=folder / "overlays", watch=watcher)
        if diagnosed:
            from selfvos.experiments.births import diagnose

            diagnose(model, benchmark, root=root, out=folder, config=config, watch=watcher)
    print_report(report, as_json=as_json)
    print_place(folder / "report.html", as_json=as_json)
    if diagnosed:
        print_place(folder / "births.png", as_json=as_json)


def score(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Folder with VIDEO/FRAME.png or VIDEO.csv; or several.",
            autocompletion=completing("benchmarks"),  # the shell cannot tell where they end and the next one begins
        ),
    ],
    benchmark: Protocol,
    root: Root,
    folder: Annotated[Path | None, typer.Option("--out", help="Write tables, JSON and an HTML page here.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Score masks that any method has written; several results are set against the first.

    Example: `selfvos score results/ davis-2017-val --root DAVIS`
    """
    from selfvos import api

    if len(results) > 1:
        _score_together(results, benchmark, root, folder, as_json=as_json)
        return
    with Watcher() as watcher:
        report = api.score(results[0], benchmark, root=root, out=folder, watch=watcher)
    print_report(report, as_json=as_json)
    if folder:
        print_place(folder / "report.html", as_json=as_json)


def _score_together(results: list[Path], benchmark: str, root: Path, folder: Path | None, *, as_json: bool) -> None:
    from selfvos import api

    with Watcher() as watcher:
        comparison = api.score_together(results, benchmark, root=root, out=folder, watch=watcher)
    if as_json:
        print(json.dumps(comparison.to_dict(), indent=1))
    else:
        typer.echo(comparison.table(strong=lambda text: typer.style(text, bold=True)))
    if folder:
        print_place(folder / "comparison.html", as_json=as_json)
