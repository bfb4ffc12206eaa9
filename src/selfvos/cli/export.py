"""Commands that bring tracks to other programs and back: export and import."""

import json
from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.completion import completing
from selfvos.cli.console import Watcher, out
from selfvos.cli.options import AsJson
from selfvos.errors import UsageError

Video = Annotated[
    Path | None, typer.Option(help="The video that was tracked, where the track does not name it or it has moved.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run made there.")]


def export(
    track: Annotated[Path, typer.Argument(help="Folder of a track, or a file that can be imported.")],
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            help="Format; may be given several times. See 'selfvos list formats'.",
            autocompletion=completing("formats"),
        ),
    ],
    place: Annotated[
        Path, typer.Option("--out", help="File or folder to make; for several formats, a folder for all.")
    ],
    video: Video = None,
    objects: Annotated[
        list[int] | None, typer.Option("--object", help="Only the object with this id; repeat it.")
    ] = None,
    soften: Annotated[
        int, typer.Option(min=0, help="Soft edges of cut-outs reach so many pixels to both sides, for hair and blur.")
    ] = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a track in the formats of other programs.

    Example: `selfvos export result --to coco --out result.json`
    """
    from selfvos import api

    if len(set(to)) < len(to):
        raise UsageError(f"--to names {max(to, key=to.count)} twice; give each format once")
    choices = [api.Choice(format=name, objects=objects or (), video=video, soften_px=soften) for name in to]
    places = [place] if len(to) == 1 else [api.export_place(name, place) for name in to]
    for choice, path in zip(choices, places, strict=True):
        api.check_export(track, choice, path)
    with Watcher() as watcher:
        made = [
            api.export(track, choice, path, overwrite=overwrite, watch=watcher)
            for choice, path in zip(choices, places, strict=True)
        ]
    if as_json:
        print(json.dumps([one.to_dict() for one in made]))
        return
    for one in made:
        out.print(one.table(), highlight=False, markup=False, soft_wrap=True)


def import_(
    file: Annotated[Path, typer.Argument(help="File or folder that another program wrote.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the track to make.")],
    format: Annotated[
        str | None,
        typer.Option("--from", help="Its format, where its looks do not say.", autocompletion=completing("formats")),
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="The video that the masks are of; for the overlay, and for a project.")
    ] = None,
    project: Annotated[
        bool, typer.Option("--project", help="Make a project of it, to correct and track on in 'selfvos web'.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make a track of what another program wrote.

    Example: `selfvos import annotations.xml --video dance.mp4 --out corrected`
    """
    from selfvos import api

    if project and (video is None or overwrite):
        raise UsageError(
            "a project wants --video, and a new folder: give the video that the masks are of, and no --overwrite"
        )
    with Watcher() as watcher:
        if project:
            assert video is not None
            track = api.import_project(file, folder, video=video, format=format, watch=watcher)
            track.close()
        else:
            track = api.import_track(file, folder, format=format, video=video, overwrite=overwrite, watch=watcher)
    facts = {"track": str(folder), "frames": len(track.frames), "objects": [thing.id for thing in track.objects]}
    if as_json:
        print(json.dumps(facts))
        return
    plural = "object" if len(track.objects) == 1 else "objects"
    text = f"{folder} holds {len(track.objects)} {plural} in {len(track.frames)} frames"
    out.print(text, highlight=False, markup=False, soft_wrap=True)
