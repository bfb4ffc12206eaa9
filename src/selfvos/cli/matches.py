"""The command that shows where a pixel's label comes from."""

import json
from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.console import Watcher, out
from selfvos.cli.follow import given_masks
from selfvos.cli.options import (
    AsJson,
    Changes,
    Configs,
    Device,
    Fps,
    Preset,
    Quality,
    Rounds,
    Sets,
    Weights,
    track_settings,
)
from selfvos.errors import UsageError


def matches(
    video: Annotated[str, typer.Argument(help="Video file or folder of pictures.")],
    mask: Annotated[list[str], typer.Option(help="Mask of the first frame, or PATH@FRAME of another; several.")],
    frame: Annotated[int, typer.Option(min=0, help="Frame to look at, from 0.")],
    at: Annotated[str, typer.Option(metavar="X,Y", help="Column and row of a pixel, from 0.")],
    picture: Annotated[Path, typer.Option("--out", help="The picture: .png or .jpg.")],
    fps: Fps = 25.0,
    weights: Weights = "default",
    device: Device = "auto",
    preset: Preset = None,
    quality: Quality = None,
    rounds: Rounds = None,
    configs: Configs = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Draw which places of remembered frames a pixel's label was taken from.

    Example: `selfvos matches dance.mp4 --mask dance.png --frame 20 --at 310,140 --out matches.png`
    """
    from selfvos import api

    try:
        x, y = (int(part) for part in at.split(","))
    except ValueError:
        raise UsageError(f"--at takes column and row, such as 310,140; got {at!r}") from None
    source = api.open_source(video, fps=fps)
    masks = given_masks(mask, api.Span())
    model = api.load(weights, device=device)
    config = track_settings(model, preset, quality, Changes(configs, sets, rounds))
    with Watcher() as watcher:
        found = api.find_matches(model, source, masks, (frame, x, y), config=config, watch=watcher)
    found.save(picture)
    if as_json:
        print(json.dumps({"picture": str(picture), **found.to_dict()}))
        return
    shares = ", ".join(f"{one.weight:.0%} from frame {one.index}" for one in found.memory if one.kept)
    what = f"object {found.object}" if found.object else "background"
    out.print(f"{what}: {shares}\npicture: {picture}", highlight=False, markup=False, soft_wrap=True)
