"""Masks: what a frame shows, what people draw on it, and outlines that snap to edges."""

from typing import Any

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Request, Response

from selfvos.errors import DataError
from selfvos.web.codec import decode_mask, encode_mask
from selfvos.web.routes.projects import Here, changed

router = APIRouter(prefix="/api/projects/{id}")
_KIND = "application/octet-stream"
_MOST_BYTES_A_PIXEL = 6
_PATIENCE_S = 60.0


@router.get("/masks/{index}")
def mask(id: str, index: int, here: Here) -> Response:
    """Return what a frame shows, as runs of ids; whether it was drawn, tracked or neither is in a header."""
    with here.use(id) as one:
        one.project.store.refresh()
        found = one.project.mask_at(index)
        drawn = index in one.project.state.keyframes
        state = "drawn" if drawn else "tracked" if index in one.project.store.frames else "empty"
    return Response(encode_mask(found), media_type=_KIND, headers={"cache-control": "no-store", "x-mask": state})


@router.put("/masks/{index}")
async def draw(id: str, index: int, request: Request, here: Here) -> dict[str, Any]:
    """Say what the whole of a frame shows."""
    (height, width), _ = await to_thread.run_sync(_facts, here, id, index)
    data = await body(request, 8 + _MOST_BYTES_A_PIXEL * height * width)

    def keep() -> dict[str, Any]:
        with here.use(id) as one:
            one.project.draw(index, decode_mask(data, one.project.size))
            return changed(request, one)

    return await to_thread.run_sync(keep)


@router.delete("/masks/{index}")
def erase(id: str, index: int, request: Request, here: Here) -> dict[str, Any]:
    """Take back all that was drawn on a frame."""
    with here.use(id) as one:
        one.project.erase(index)
        return changed(request, one)


@router.post("/outline/{index}")
async def outline(id: str, index: int, request: Request, here: Here, object: int) -> Response:
    """Return a drawn region with its outline on the edges of the frame."""
    size, folder = await to_thread.run_sync(_facts, here, id, index)
    height, width = size
    data = await body(request, 8 + _MOST_BYTES_A_PIXEL * height * width)
    region = decode_mask(data, size) == object

    def snap() -> bytes:
        facts = {"folder": folder, "frame": index, "region": region.astype(np.uint8), "object": object}
        return request.app.state.quick.result("outline", id, _PATIENCE_S, **facts)["mask"]

    return Response(await to_thread.run_sync(snap), media_type=_KIND)


def _facts(here: Here, id: str, index: int) -> tuple[tuple[int, int], str]:
    """Return size and folder; outside the loop of the server, as it may wait for another request."""
    with here.use(id) as one:
        one.project.check_frame(index)
        return one.project.size, str(one.project.folder)


async def body(request: Request, most: int) -> bytes:
    """Return a request's body, and stop reading one that is too large.

    Raises:
        DataError: It is longer than `most`.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise DataError(f"more than {most} bytes came; a mask of this video has no more")
    return bytes(data)
