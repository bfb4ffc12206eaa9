"""Commands that look: at a video, and at this machine."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.console import Watcher, out
from selfvos.cli.options import AsJson, Device, Fps


def info(
    video: Annotated[str, typer.Argument(help="Video file, folder of pictures, camera (0) or stream (rtsp://...).")],
    frame: Annotated[
        str | None, typer.Option(help="Write a frame as PICTURE.png or PICTURE.png@FRAME, to draw a mask on.")
    ] = None,
    fps: Fps = 25.0,
    as_json: AsJson = False,
) -> None:
    """Say what a video is: size, rate, frames, codec, rotation, pixel shape, sound.

    Example: `selfvos info dance.mp4`, or `selfvos info 0 --frame first.png` for a picture of the first camera
    """
    from selfvos import api

    picture, _, index = (frame or "").rpartition("@") if re.search(r"@\d+$", frame or "") else (frame, "", "0")
    if api.is_live(video):
        _info_live(video, picture, as_json=as_json)
        return
    _info_stored(video, fps, as_json=as_json)
    if picture:
        _tell(api.save_frame(video, picture, frame=int(index), fps=fps), as_json=as_json)


def _info_live(video: str, picture: str | None, *, as_json: bool) -> None:
    from selfvos import api

    with Watcher() as watcher, api.live_source(video, watch=watcher) as source:
        about = {"name": source.name, "height": source.size[0], "width": source.size[1], "fps": source.fps}
        made = None if picture is None else api.save_frame(source, picture)
    if as_json:
        print(json.dumps(about))
    else:
        _table({name: str(value) for name, value in about.items()})
    if made is not None:
        _tell(made, as_json=as_json)


def _tell(picture: Path, *, as_json: bool) -> None:
    if not as_json:
        out.print(f"frame: {picture}", highlight=False, markup=False, soft_wrap=True)


def _info_stored(video: str, fps: float, *, as_json: bool) -> None:
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
