"""The command that lists what there is."""

import json
from typing import Annotated

import typer

from selfvos.cli.completion import completing
from selfvos.cli.console import out
from selfvos.cli.options import AsJson


def list_(
    kind: Annotated[
        str,
        typer.Argument(
            help="recipes, objectives, backbones, benchmarks, presets, systems, formats, checkpoints, tables, weights.",
            autocompletion=completing("kinds"),
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Say what there is of a kind.

    Example: `selfvos list recipes`
    """
    from selfvos import api
    from selfvos.experiments.tables import TABLES

    things = TABLES.described() if kind == "tables" else api.names(kind)
    if as_json:
        print(json.dumps(things))
        return
    width = max(map(len, things))
    for name, what in things.items():
        out.print(f"{name.ljust(width)}  {what}", highlight=False, markup=False, soft_wrap=True)
