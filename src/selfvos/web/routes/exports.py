"""Tracks in other programs' formats, to be fetched."""

import secrets
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from selfvos.errors import UsageError
from selfvos.web.routes.jobs import shown
from selfvos.web.routes.projects import Here

router = APIRouter(prefix="/api")
_PATIENCE_S = 60.0


class Wanted(BaseModel):
    """A format by name, and whether edges of a cut-out are to be soft."""

    format: str = Field(max_length=64, pattern=r"^[a-z0-9_-]+$")
    soft: bool = False


@router.get("/projects/{id}/formats")
def formats(id: str, here: Here) -> list[dict[str, str | bool]]:
    """List formats."""
    from selfvos.api import export_choices

    here.folder(id)
    return export_choices()


@router.get("/projects/{id}/formats/{name}")
def size(id: str, name: str, request: Request, here: Here) -> dict[str, Any]:
    """Say about how large the track gets in a format, or why it cannot be had.

    Some frames are written to know it: that is no work for the process that answers.
    """
    return request.app.state.quick.result("size", id, _PATIENCE_S, folder=str(here.folder(id)), format=name)


@router.post("/projects/{id}/export")
def export(id: str, wanted: Wanted, request: Request, here: Here) -> dict[str, Any]:
    """Write the track in a format; when the job is done, fetch it."""
    with here.use(id) as one:
        folder = one.project.folder
    out = folder / "exports" / secrets.token_hex(8)
    facts = {"format": wanted.format, "soft": wanted.soft, "out": str(out)}
    return shown(request.app.state.jobs.add("export", id, folder=str(folder), **facts))


@router.get("/exports/{number}")
def fetch(number: str, request: Request) -> FileResponse:
    """Return what an export job wrote, or the picture of one that looked for matches."""
    job = request.app.state.jobs.get(number)
    path = Path(job.result.get("file", ""))
    if job.kind not in ("export", "matches") or job.state != "done" or not path.is_file():
        raise UsageError("there is no such export")
    return FileResponse(path, filename=path.name)
