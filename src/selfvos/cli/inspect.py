"""Commands that look: at a video, and at this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.console import Watcher, out
from selfvos.cli.options import AsJson, Device


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


def doctor(
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure seconds a frame instead: a minute or two on a quiet machine.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what this machine can do, what is missing, and the line that mends it.

    Example: `selfvos doctor`
    """
    if measure:
        _measure(device, as_json=as_json)
        return
    from selfvos.api.inspection import inspect_machine

    found = inspect_machine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in found]))
    else:
        _table({one.what: f"{one.state}: {one.detail}{one.mend and '; mend: '}{one.mend}" for one in found})
    if any(finding.state == "broken" for finding in found):
        raise typer.Exit(4)


def _measure(device: str, *, as_json: bool) -> None:
    """Print the row of this machine in the table of tested ones."""
    from selfvos.api import use_threads
    from selfvos.api.measuring import measure_machine

    use_threads(None)
    with Watcher() as watcher:
        found = measure_machine(device=device, watch=watcher)
    if as_json:
        print(json.dumps(asdict(found)))
        return
    heads = ("processor", "cores", "device", "system", "versions", "load before", *found.seconds_per_frame)
    print(f"| {' | '.join(heads)} |")
    print("|" + " --- |" * 5 + " ---: |" * (len(heads) - 5))
    print(found.row())


def _table(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, text in rows.items():
        if text:
            out.print(f"{name.ljust(width)}  {text}", highlight=False, markup=False, soft_wrap=True)
