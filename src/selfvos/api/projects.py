"""Projects as the page, the command line and programs share them. Nothing here loads torch."""

import shutil
from pathlib import Path
from typing import Literal

from selfvos.data.kinds import PAGED, PICTURES, VIDEOS, is_hidden, is_kind
from selfvos.errors import SelfvosError, UsageError
from selfvos.formats.base import FORMATS
from selfvos.projects.planning import Run, fill, plan
from selfvos.projects.project import Project
from selfvos.storage import atomic_path
from selfvos.types import Watch, ignore


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


def export_choices() -> list[dict[str, str]]:
    """Return every format: its name, who reads it, and the suffix of its file; none where it is a folder."""
    kinds = {name: FORMATS.get(name) for name in FORMATS.names()}
    return [{"name": name, "readers": kind.readers, "suffix": kind.suffix} for name, kind in kinds.items()]


def export_size(folder: str | Path, format: str) -> tuple[int | None, str]:
    """Return about how many bytes the track of a project takes in a format; or None, and why it cannot be had.

    Raises:
        UnknownName: No such format.
    """
    project, kind = Project.look(folder), FORMATS.get(format)
    try:
        return kind.estimate_bytes(project, video=None if kind.pictures == "unused" else project.source), ""
    except SelfvosError as error:
        return None, str(error)


def export_project(folder: str | Path, format: str, out: str | Path, *, watch: Watch = ignore) -> Path:
    """Write the track of a project in a format, as one file below a new folder, and return the file.

    A format that is a folder is packed as a zip archive.

    Raises:
        UnknownName: No such format.
        MissingExtra: It needs an optional dependency.
        DataError: Nothing was tracked, or the format cannot hold it.
        Stopped: The watch asked for it; nothing of it is left.
    """
    project, kind = Project.look(folder), FORMATS.get(format)
    if not project.frames:
        raise UsageError("nothing was drawn or tracked yet; there is nothing to export")
    out, name = Path(out), "".join(c if c.isalnum() or c in "-_ " else "_" for c in project.name) or "track"
    video = None if kind.pictures == "unused" else project.source
    if kind.suffix:
        kind.write(project, out / f"{name}{kind.suffix}", video=video, watch=watch)
        return out / f"{name}{kind.suffix}"
    inside = out / f"{name}-{format}"
    kind.write(project, inside, video=video, watch=watch)
    with atomic_path(out / f"{inside.name}.zip") as temporary:
        made = shutil.make_archive(str(temporary.with_suffix("")), "zip", inside)
        if Path(made) != temporary:
            Path(made).rename(temporary)
    shutil.rmtree(inside)
    return out / f"{inside.name}.zip"


def _plain(run: Run) -> tuple[int, int]:
    return run.start, run.end
