"""Projects as the page, the command line and programs share them. Nothing here loads torch."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

from selfvos.api.exporting import Choice, estimate, export
from selfvos.data.kinds import PAGED, PICTURES, VIDEOS, is_hidden, is_kind
from selfvos.errors import SelfvosError, UsageError
from selfvos.formats.base import FORMATS
from selfvos.formats.cut_out import CutOut
from selfvos.projects.planning import Run, fill, plan
from selfvos.projects.project import Project
from selfvos.storage import atomic_path
from selfvos.types import Watch, ignore

_SOFT_SHARE = 90


def plan_tracking(project: Project, start: int, end: int) -> tuple[int, int]:
    """Return first and last frame of the run that tracks a span; see `selfvos.projects.planning.plan`."""
    return _plain(plan(project, start, end))


def plan_filling(project: Project, first: int, last: int) -> list[tuple[int, int]]:
    """Return the runs that fill the frames between two drawings; see `selfvos.projects.planning.fill`."""
    return [_plain(run) for run in fill(project, first, last)]


def can_be_video(path: str | Path) -> Literal["video", "frames", "folder"] | None:
    """Say by its name what a file or folder may be to whoever looks for a video; None where it is of no use."""
    path = Path(path)
    if is_hidden(path.name):
        return None
    if path.is_file():
        return "video" if is_kind(path.name, VIDEOS | PAGED - {".png"}) else None
    try:
        if path.is_dir():
            return "frames" if any(is_kind(file.name, PICTURES) for file in path.iterdir()) else "folder"
    except OSError:
        return None
    return None


def export_choices() -> list[dict[str, str | bool]]:
    """Return every format: name, who reads it, suffix of its file (none: a folder), and whether edges can be soft."""
    kinds = {name: FORMATS.get(name) for name in FORMATS.names()}
    return [
        {"name": name, "readers": kind.readers, "suffix": kind.suffix, "soft": issubclass(kind, CutOut)}
        for name, kind in kinds.items()
    ]


def export_size(folder: str | Path, format: str) -> tuple[int | None, str]:
    """Return about how many bytes the track of a project takes in a format; or None, and why it cannot be had.

    Raises:
        UnknownName: No such format.
    """
    project = Project.look(folder)
    try:
        return estimate(_exportable(project), _choice(project, format)), ""
    except SelfvosError as error:
        return None, str(error)


def export_project(
    folder: str | Path, format: str, out: str | Path, *, soft: bool = False, watch: Watch = ignore
) -> Path:
    """Write the track of a project in a format, as one file below a new folder, and return the file.

    A format that is a folder is packed as a zip archive.

    Args:
        folder: The project.
        format: Name of the format.
        out: A new folder.
        soft: Make edges of cut-outs as soft as the picture's, within about a hundredth of its shorter side.
        watch: Told of every frame; asked before each.

    Raises:
        UnknownName: No such format.
        UsageError: Nothing was drawn or tracked.
        MissingExtra: It needs an optional dependency.
        DataError: The format cannot hold the track.
        Stopped: The watch asked for it; nothing of it is left.
    """
    project, out = Project.look(folder), Path(out)
    name = "".join(letter if letter.isalnum() or letter in "-_ " else "_" for letter in project.name) or "track"
    made = out / f"{name}-{format}{FORMATS.get(format).suffix}"
    choice = _choice(project, format)
    if soft:
        choice = replace(choice, soften_px=max(2, round(min(project.size) / _SOFT_SHARE)))
    export(_exportable(project), choice, made, watch=watch)
    if made.is_file():
        return made
    packed = made.with_name(f"{made.name}.zip")
    with atomic_path(packed) as temporary:
        shutil.make_archive(str(temporary.with_suffix("")), "zip", made)
    shutil.rmtree(made)
    return packed


def _exportable(project: Project) -> Project:
    if not project.frames:
        raise UsageError("nothing was drawn or tracked yet; there is nothing to export")
    return project


def _choice(project: Project, format: str) -> Choice:
    return Choice(format=format, video=project.about["video"])


def _plain(run: Run) -> tuple[int, int]:
    return run.start, run.end
