"""Projects: listed, made, looked at; their objects; undo and redo."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from selfvos.errors import UsageError
from selfvos.web.desk import Desk, OpenProject
from selfvos.web.frames import spans

router = APIRouter(prefix="/api")
Colour = tuple[
    Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)]
]


def desk(request: Request) -> Desk:
    """Return the desk of the server."""
    return request.app.state.desk


Here = Annotated[Desk, Depends(desk)]


class NewProject(BaseModel):
    """A video below the root, or the one that ships."""

    path: str = Field(max_length=4096)


class NewObject(BaseModel):
    """An object to be added."""

    name: str | None = Field(default=None, max_length=200)
    colour: Colour | None = None


class Merge(BaseModel):
    """An object that another one becomes a part of."""

    into: int


class Piece(BaseModel):
    """A pixel of a piece of an object."""

    frame: int
    x: int
    y: int


@router.get("/projects")
def listed(here: Here) -> list[dict[str, Any]]:
    """List all projects."""
    return [here.summary(id) for id in here.ids()]


@router.post("/projects")
def make(new: NewProject, here: Here) -> dict[str, Any]:
    """Make a project of a video."""
    id = here.create(here.below_root(new.path))
    with here.use(id) as one:
        return about(one)


@router.post("/projects/demo")
def make_demo(here: Here) -> dict[str, Any]:
    """Make a project of the clip that ships."""
    from selfvos.api import demo_clip

    id = here.create(demo_clip(), "cockatoo")
    with here.use(id) as one:
        return about(one)


@router.get("/browse")
def browse(here: Here, path: str = "") -> dict[str, Any]:
    """List what of a folder below the root can be opened."""
    from selfvos.api import can_be_video

    folder = here.below_root(path)
    root = here.config.root.resolve()
    entries = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name.lower()) if folder.is_dir() else ():
        if not entry.name.startswith("."):
            kind = can_be_video(entry)
            if kind:
                entries.append({"name": entry.name, "path": str(entry.relative_to(root)), "kind": kind})
    inside = "" if folder == root else str(folder.relative_to(root))
    return {"path": inside, "up": None if folder == root else _inside(folder.parent, root), "entries": entries}


@router.get("/projects/{id}")
def look(id: str, here: Here) -> dict[str, Any]:
    """Return all of a project but frames and masks."""
    with here.use(id) as one:
        return about(one)


@router.delete("/projects/{id}")
def remove_project(id: str, request: Request, here: Here) -> list[dict[str, Any]]:
    """Remove a project, and its video if it was uploaded for it."""
    if any(jobs.busy(id) for jobs in (request.app.state.jobs, request.app.state.quick)):
        raise UsageError("this project is being worked on; stop that first")
    here.remove(id)
    return listed(here)


@router.get("/projects/{id}/timeline")
def timeline(id: str, here: Here) -> dict[str, Any]:
    """Return for each known frame how sure the track is of each object: -1 where it is lost, null where nobody asks.

    That is where the frame was tracked before the object came, or was drawn on.
    """
    with here.use(id) as one:
        frames, drawn = one.project.frames, set(one.project.keyframes)
        found: dict[str, list[float | None]] = {str(known.id): [None] * len(frames) for known in one.project.objects}
        for place, record in enumerate(frames):
            for state in record.objects:
                if str(state.id) in found and (record.index not in drawn or not state.lost):
                    found[str(state.id)][place] = -1.0 if state.lost else round(state.confidence, 3)
        return {"frames": [record.index for record in frames], "confidence": found}


@router.post("/projects/{id}/objects")
def add(id: str, new: NewObject, request: Request, here: Here) -> dict[str, Any]:
    """Add an object."""
    with here.use(id) as one:
        one.project.add_object(new.name, new.colour)
        return changed(request, one)


@router.patch("/projects/{id}/objects/{number}")
def change(id: str, number: int, new: NewObject, request: Request, here: Here) -> dict[str, Any]:
    """Rename or recolour an object."""
    with here.use(id) as one:
        one.project.change_object(number, name=new.name, colour=new.colour)
        return changed(request, one)


@router.delete("/projects/{id}/objects/{number}")
def remove(id: str, number: int, request: Request, here: Here) -> dict[str, Any]:
    """Take an object out of the project."""
    with here.use(id) as one:
        one.project.remove_object(number)
        return changed(request, one)


@router.post("/projects/{id}/objects/{number}/merge")
def merge(id: str, number: int, wanted: Merge, request: Request, here: Here) -> dict[str, Any]:
    """Make an object a part of another one."""
    with here.use(id) as one:
        one.project.merge_objects(number, wanted.into)
        return changed(request, one)


@router.post("/projects/{id}/split")
def split(id: str, piece: Piece, request: Request, here: Here) -> dict[str, Any]:
    """Make a piece of an object one of its own."""
    with here.use(id) as one:
        one.project.split_object(piece.frame, piece.x, piece.y)
        return changed(request, one)


@router.post("/projects/{id}/undo")
def undo(id: str, request: Request, here: Here) -> dict[str, Any]:
    """Take back the latest edit."""
    with here.use(id) as one:
        one.project.undo()
        return changed(request, one)


@router.post("/projects/{id}/redo")
def redo(id: str, request: Request, here: Here) -> dict[str, Any]:
    """Do again what was undone last."""
    with here.use(id) as one:
        one.project.redo()
        return changed(request, one)


def changed(request: Request, one: OpenProject) -> dict[str, Any]:
    """Tell all pages that a project has changed, and return it."""
    request.app.state.hub.tell("changed", project=one.id, revision=one.project.state.revision)
    return about(one)


def about(one: OpenProject) -> dict[str, Any]:
    """Return all of a project but frames and masks."""
    project, state = one.project, one.project.state
    project.store.refresh()
    height, width = project.size
    return {
        "id": one.id,
        "name": project.name,
        "width": width,
        "height": height,
        "count": project.count,
        "fps": project.fps,
        "video": Path(project.about["video"]).name,
        "objects": [{"id": o.id, "name": o.name, "colour": list(o.colour)} for o in project.objects],
        "keyframes": list(project.keyframes),
        "tracked": spans(sorted(project.store.frames)),
        "stale": spans(project.stale),
        "revision": state.revision,
        "undo": state.done[-1].about if state.done else None,
        "redo": state.undone[-1].about if state.undone else None,
    }


def _inside(folder: Path, root: Path) -> str:
    return "" if folder == root else str(folder.relative_to(root))
