"""The server: routes, errors in one line, and what lives as long as it does."""

import importlib.resources
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from selfvos import __version__
from selfvos.errors import DataError, ResourceError, SelfvosError, UsageError
from selfvos.web.desk import Desk
from selfvos.web.events import Hub
from selfvos.web.jobs import Job, Jobs
from selfvos.web.learned import LearnedShelf
from selfvos.web.routes import exports, frames, jobs, learning, masks, projects, uploads
from selfvos.web.security import Guard
from selfvos.web.settings import WebConfig

_STATIC = Path(str(importlib.resources.files("selfvos.web") / "static"))


def create_app(config: WebConfig) -> FastAPI:
    """Make the server."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.hub.start()
        yield
        app.state.jobs.close()
        app.state.quick.close()
        app.state.desk.close()

    app = FastAPI(title="selfvos", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    hub, setup = Hub(), {"weights": config.weights, "device": config.device}
    app.state.hub, app.state.desk = hub, Desk(config)
    app.state.learned = LearnedShelf(config.projects / "learned")
    app.state.speeds = {}

    def heard(job: Job, event: dict[str, Any]) -> None:
        if event["kind"] == "frame":
            hub.tell("frame", project=job.project, index=event["index"])
            return
        if job.kind == "track" and job.state == "done" and job.done > 1:
            app.state.speeds[job.facts["quality"]] = job.result["seconds_a_frame"]
        hub.tell("job", job=jobs.shown(job))

    app.state.jobs = Jobs(setup, config.most_jobs, heard)
    # Snapping an outline must not wait behind a video that is being tracked.
    app.state.quick = Jobs(setup, config.most_jobs, lambda *_: None)
    for room in (projects, frames, masks, jobs, exports, uploads, learning):
        app.include_router(room.router)
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    app.add_middleware(Guard, config=config)
    app.exception_handler(SelfvosError)(_told)
    app.exception_handler(RequestValidationError)(_malformed)
    app.get("/api/about")(_about)
    app.get("/healthz")(lambda: {"ok": True})
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.get("/{path:path}", include_in_schema=False)(_page)
    return app


async def _told(_: Request, error: Exception) -> JSONResponse:
    kinds = {UsageError: 400, DataError: 422, ResourceError: 503}
    status = next((status for kind, status in kinds.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": str(error)}, status_code=status)


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": f"{where}: {first['msg']}"}, status_code=422)


def _about(request: Request) -> dict[str, Any]:
    config = request.app.state.desk.config
    return {
        "version": __version__,
        "weights": config.weights,
        "device": config.device,
        "cores": os.cpu_count(),
        "speeds": request.app.state.speeds,
        "most_upload_bytes": config.most_upload_bytes,
        "root": str(config.root.resolve()),
    }


def _page(path: str) -> FileResponse:
    if path.startswith("api/"):
        raise UsageError(f"there is no /{path}")
    return FileResponse(_STATIC / "index.html", headers={"cache-control": "no-cache"})
