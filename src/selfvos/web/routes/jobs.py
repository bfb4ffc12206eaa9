"""Tracking, as jobs: asked for, watched, cancelled. And the stream of events that tells of them."""

import secrets
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from selfvos.web.jobs import Job
from selfvos.web.routes.projects import Here

router = APIRouter(prefix="/api")
Index = Annotated[int, Field(ge=0)]


class Span(BaseModel):
    """Frames to be tracked."""

    start: Index
    end: Index
    """Before `start`, to track backward."""
    quality: Literal["fast", "balanced", "best"] = "balanced"
    weights: str = Field(default="", max_length=64)
    """Id of a learning whose weights are to be taken; empty for those that the server was started with."""


class Pixel(BaseModel):
    """A pixel of a frame."""

    frame: Index
    x: Index
    y: Index
    quality: Literal["fast", "balanced", "best"] = "balanced"
    weights: str = Field(default="", max_length=64)
    """As of a `Span`."""


@router.post("/projects/{id}/track")
def track(id: str, span: Span, request: Request, here: Here) -> dict[str, Any]:
    """Track a span, from the nearest known mask behind its start."""
    from selfvos.api import plan_tracking

    with here.use(id) as one:
        run = plan_tracking(one.project, span.start, span.end)
        folder = str(one.project.folder)
    return _tracking(request, id, span, folder=folder, runs=[run])


@router.post("/projects/{id}/fill")
def fill(id: str, span: Span, request: Request, here: Here) -> dict[str, Any]:
    """Track from two drawings towards each other."""
    from selfvos.api import plan_filling

    with here.use(id) as one:
        runs = plan_filling(one.project, span.start, span.end)
        folder = str(one.project.folder)
    return _tracking(request, id, span, folder=folder, runs=runs)


@router.post("/projects/{id}/matches")
def matches(id: str, wanted: Pixel, request: Request, here: Here) -> dict[str, Any]:
    """Find what the label of a pixel is taken from; when the job is done, its picture can be fetched as an export."""
    with here.use(id) as one:
        one.project.check_frame(wanted.frame)
        folder = one.project.folder
    weights = request.app.state.learned.weights(wanted.weights) if wanted.weights else ""
    facts = {"quality": wanted.quality, "weights": weights, "place": (wanted.frame, wanted.x, wanted.y)}
    out = folder / "exports" / secrets.token_hex(8) / "matches.png"
    return shown(request.app.state.jobs.add("matches", id, folder=str(folder), out=str(out), **facts))


def _tracking(request: Request, id: str, span: Span, **facts: Any) -> dict[str, Any]:
    weights = request.app.state.learned.weights(span.weights) if span.weights else ""
    return shown(request.app.state.jobs.add("track", id, quality=span.quality, weights=weights, **facts))


@router.get("/jobs")
def jobs(request: Request) -> list[dict[str, Any]]:
    """List the jobs that are remembered."""
    return [shown(job) for job in request.app.state.jobs.all()]


@router.get("/jobs/{number}")
def job(number: str, request: Request) -> dict[str, Any]:
    """Return one job as it is now."""
    return shown(request.app.state.jobs.get(number))


@router.delete("/jobs/{number}")
def cancel(number: str, request: Request) -> dict[str, Any]:
    """Cancel a job; what it has tracked so far is kept."""
    return shown(request.app.state.jobs.cancel(number))


@router.get("/events")
def events(request: Request) -> StreamingResponse:
    """Tell what happens, as it happens."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(request.app.state.hub.listen(), media_type="text/event-stream", headers=headers)


def shown(job: Job) -> dict[str, Any]:
    """Return what the page may know of a job: no path of this machine."""
    facts = asdict(job)
    del facts["facts"]
    return {**facts, "result": {name: value for name, value in job.result.items() if name != "file"}}
