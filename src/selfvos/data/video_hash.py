"""What tells one video from another, whatever it is called."""

import hashlib
from pathlib import Path

from selfvos.data.source import Source, pictures_of
from selfvos.storage import sha256

_WHOLE_BYTES = 64 * 2**20
_END_BYTES = 2**20


def video_hash(source: Source) -> tuple[str, str] | None:
    """Return the SHA-256 of a video in hexadecimal digits, and in words what it is of; None for arrays.

    Files up to 64 MiB are hashed whole. Of larger ones, size, first and last MiB are: reading hundreds of gigabytes
    would take longer than tracking them. Of a folder, the names and sizes of all its pictures are.
    """
    files = pictures_of(source)
    if files is not None:
        listing = "".join(f"{file.name}\0{file.stat().st_size}\n" for file in files)
        return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest(), "names and sizes of the pictures"
    path = getattr(source, "path", None)
    if not isinstance(path, Path) or not path.is_file():
        return None
    if path.stat().st_size <= _WHOLE_BYTES:
        return sha256(path), "the whole file"
    return _of_ends(path), "size, first and last MiB"


def _of_ends(path: Path) -> str:
    size = path.stat().st_size
    total = hashlib.sha256(f"{size}\n".encode())
    with path.open("rb") as file:
        total.update(file.read(_END_BYTES))
        file.seek(size - _END_BYTES)
        total.update(file.read(_END_BYTES))
    return total.hexdigest()
