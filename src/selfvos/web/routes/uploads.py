"""Videos from the browser, in pieces, so that one that broke off goes on where it was."""

import re
import secrets
import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from selfvos.errors import DataError, UsageError
from selfvos.storage import atomic_path
from selfvos.web.quota import check_room
from selfvos.web.routes.projects import Here, about

router = APIRouter(prefix="/api/uploads")
CHUNK_BYTES = 8 * 2**20
_ID = re.compile(r"u[0-9a-f]{16}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")


class Announced(BaseModel):
    """What is going to come."""

    name: str = Field(max_length=1000)
    bytes: Annotated[int, Field(ge=1)]


@router.post("")
def announce(new: Announced, here: Here) -> dict[str, Any]:
    """Make room for a video, if there is any; its name on this machine is made up."""
    if new.bytes > here.config.most_upload_bytes:
        raise DataError(f"{new.bytes} bytes are more than this server takes ({here.config.most_upload_bytes})")
    suffix = Path(new.name).suffix.lower()
    if not _SUFFIX.fullmatch(suffix):
        raise DataError("this file has no suffix that tells what it is")
    check_room(here.config, new.bytes)
    id = f"u{secrets.token_hex(8)}"
    folder = here.config.projects / "uploads" / id
    folder.mkdir(parents=True)
    (folder / "suffix").write_text(f"{suffix} {new.bytes}")
    return {"id": id, "chunk_bytes": CHUNK_BYTES, "have": []}


@router.get("/{id}")
def have(id: str, here: Here) -> dict[str, Any]:
    """Say which pieces are there already."""
    numbers = sorted(int(piece.stem) for piece in _folder(here, id).glob("*.piece") if piece.stem.isdecimal())
    return {"id": id, "chunk_bytes": CHUNK_BYTES, "have": numbers}


@router.put("/{id}/chunks/{number}")
async def chunk(id: str, number: int, request: Request, here: Here) -> dict[str, Any]:
    """Take one piece; taking it twice is no harm."""
    folder = _folder(here, id)
    _, total = _announced(folder)
    if not 0 <= number * CHUNK_BYTES < total:
        raise UsageError(f"no piece {number} belongs to this upload")
    expected = min(CHUNK_BYTES, total - number * CHUNK_BYTES)
    came = 0
    with atomic_path(folder / f"{number}.piece") as temporary, open(temporary, "wb") as file:
        async for data in request.stream():
            came += len(data)
            if came > expected:
                raise DataError(f"piece {number} has more than {expected} bytes")
            file.write(data)
        if came != expected:
            raise DataError(f"piece {number} has {came} bytes, {expected} were expected; send it again")
    return {"number": number}


@router.post("/{id}/commit")
def commit(id: str, here: Here, name: str = "") -> dict[str, Any]:
    """Put the pieces together and make a project of them."""
    folder = _folder(here, id)
    suffix, total = _announced(folder)
    pieces = [folder / f"{number}.piece" for number in range(-(-total // CHUNK_BYTES))]
    missing = [piece.stem for piece in pieces if not piece.is_file()]
    if missing:
        raise DataError(f"pieces {', '.join(missing[:5])} are missing; send them again")
    video = here.config.projects / "videos" / f"{id}{suffix}"
    with atomic_path(video) as temporary, open(temporary, "wb") as file:
        for piece in pieces:
            file.write(piece.read_bytes())
    shutil.rmtree(folder, ignore_errors=True)
    try:
        project = here.create(video, Path(name).stem[:200] or None)
    except Exception:
        video.unlink(missing_ok=True)
        raise
    with here.use(project) as one:
        return about(one)


def _folder(here: Here, id: str) -> Path:
    folder = here.config.projects / "uploads" / id
    if not _ID.fullmatch(id) or not (folder / "suffix").is_file():
        raise UsageError("no such upload")
    return folder


def _announced(folder: Path) -> tuple[str, int]:
    suffix, total = (folder / "suffix").read_text().split()
    return suffix, int(total)
