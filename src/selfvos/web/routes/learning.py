"""Learning from one's own videos, and the weights that come of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from selfvos.errors import UsageError
from selfvos.web.jobs import Job
from selfvos.web.learned import LearnedShelf, Learning
from selfvos.web.routes.jobs import shown
from selfvos.web.routes.projects import Here

router = APIRouter(prefix="/api/learning")


def learned(request: Request) -> LearnedShelf:
    """Return the shelf of the server."""
    return request.app.state.learned


Shelf = Annotated[LearnedShelf, Depends(learned)]
Text = Annotated[str, Field(max_length=4096)]


class NewLearning(BaseModel):
    """What to learn from: videos of projects, and others below the root."""

    projects: list[Text] = Field(default_factory=list, max_length=200)
    paths: list[Text] = Field(default_factory=list, max_length=200)
    steps: Annotated[int, Field(ge=1, le=100_000)] = 60
    name: str = Field(default="", max_length=200)


@router.get("")
def listed(request: Request, shelf: Shelf) -> list[dict[str, Any]]:
    """List all that was learned, the latest first."""
    return [_shown(request, shelf, id) for id in shelf.ids()]


@router.post("")
def begin(new: NewLearning, request: Request, shelf: Shelf, here: Here) -> dict[str, Any]:
    """Learn from videos; waits for its turn behind what is being tracked."""
    videos: dict[str, str] = {}
    for id in new.projects:
        with here.use(id) as one:
            videos.setdefault(one.project.about["video"], one.project.name)
    for path in new.paths:
        found = here.below_root(path)
        if not found.exists():
            raise UsageError(f"there is no {path} any more")
        videos.setdefault(str(found), found.name)
    if not videos:
        raise UsageError("choose at least one video to learn from")
    names = list(videos.values())
    name = new.name.strip() or names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    id = shelf.create(Learning(name=name, videos=list(videos), names=names, steps=new.steps))
    _start(request, shelf, id)
    return _shown(request, shelf, id)


@router.get("/{id}")
def look(id: str, request: Request, shelf: Shelf) -> dict[str, Any]:
    """Return one, with its curve and the names of its pictures."""
    return {**_shown(request, shelf, id), "curve": shelf.curve(id), "pictures": shelf.pictures(id)}


@router.post("/{id}/continue")
def go_on(id: str, request: Request, shelf: Shelf) -> dict[str, Any]:
    """Go on where it was stopped."""
    if shelf.finished(id):
        raise UsageError(f"{shelf.about(id).name} has learned to the end")
    if _live(request, id) is None:
        _start(request, shelf, id)
    return _shown(request, shelf, id)


@router.delete("/{id}")
def remove(id: str, request: Request, shelf: Shelf) -> list[dict[str, Any]]:
    """Remove one with its weights."""
    if _live(request, id) is not None:
        raise UsageError(f"{shelf.about(id).name} is learning just now; stop it first")
    shelf.remove(id)
    return listed(request, shelf)


@router.get("/{id}/pictures/{name}")
def picture(id: str, name: str, shelf: Shelf) -> FileResponse:
    """Return a picture of clusters."""
    return FileResponse(shelf.picture(id, name), headers={"cache-control": "private, max-age=3600"})


def _start(request: Request, shelf: LearnedShelf, id: str) -> None:
    about = shelf.about(id)
    out = str(shelf.folder(id))
    request.app.state.jobs.add("learn", id, videos=list(about.videos), steps=about.steps, out=out)


def _live(request: Request, id: str) -> Job | None:
    job = request.app.state.jobs.latest(id)
    return job if job is not None and job.state in ("waiting", "running") else None


def _shown(request: Request, shelf: LearnedShelf, id: str) -> dict[str, Any]:
    """Return what the page may know: no path of this machine."""
    about, live, latest = shelf.about(id), _live(request, id), request.app.state.jobs.latest(id)
    return {
        "id": id,
        "name": about.name,
        "videos": list(about.names),
        "steps": about.steps,
        "made": about.made,
        "state": live.state if live else "done" if shelf.finished(id) else "stopped",
        "error": latest.error if latest else "",
        "job": shown(live) if live else None,
    }
