"""Commands that look: at a video, and at this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.console import out
from selfvos.cli.options import AsJson


def info(
    video: Annotated[Path, typer.Argument(help="Video file or folder of pictures.")],
    fps: Annotated[float, typer.Option(help="Frames per second of a folder of pictures.")] = 25.0,
    as_json: AsJson = False,
) -> None:
    """Say what a video is: size, rate, frames, codec, rotation, pixel shape, sound.

    Example: `selfvos info dance.mp4`
    """
    from selfvos.api.inspection import inspect_video

    facts = asdict(inspect_video(video, fps=fps))
    if as_json:
        print(json.dumps(facts))
        return
    facts |= {"fps": round(facts["fps"], 3), "seconds": facts["seconds"] and round(facts["seconds"], 2)}
    facts |= {"sound": facts["sound"] or "none"}
    _table({name.replace("_", " "): "unknown" if value is None else str(value) for name, value in facts.items()})


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine can do, what is missing, and the line that mends it.

    Example: `selfvos doctor`
    """
    from selfvos.api.inspection import inspect_machine

    found = inspect_machine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in found]))
    else:
        _table({one.what: f"{one.state}: {one.detail}{one.mend and '; mend: '}{one.mend}" for one in found})
    if any(finding.state == "broken" for finding in found):
        raise typer.Exit(4)


def _table(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, text in rows.items():
        if text:
            out.print(f"{name.ljust(width)}  {text}", highlight=False, markup=False, soft_wrap=True)
