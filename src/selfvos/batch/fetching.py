"""Inputs brought to this machine: what has a path is taken where it lies, what has a URL is copied."""

from pathlib import Path

from selfvos.batch.manifest import is_url
from selfvos.batch.store import filesystem
from selfvos.errors import BrokenVideo, DataError, ResourceError
from selfvos.storage import sha256
from selfvos.types import Watch, go_on, ignore

_BLOCK = 2**20


def fetched(place: str, folder: Path, *, most_bytes: int = 2**36, watch: Watch = ignore) -> Path:
    """Return where a file lies on this machine, after copying it there if need be.

    Args:
        place: A path or URL.
        folder: Where a copy goes.
        most_bytes: A file that is longer is refused: whoever serves it decides how much comes.
        watch: Asked between blocks.

    Raises:
        DataError: There is nothing under the URL, or too much.
        ResourceError: It cannot be reached, or breaks off: another attempt may do.
        Stopped: The watch asked.
    """
    if not is_url(place):
        return Path(place)
    files, path = filesystem(place)
    target = folder / Path(path).name
    count = 0
    try:
        announced = files.size(path)
        with files.open(path, "rb") as source, target.open("wb") as copy:
            while block := source.read(_BLOCK):
                go_on(watch)
                count += len(block)
                if count > most_bytes:
                    raise DataError(f"{place} holds more than {most_bytes} bytes; raise the limit or cut the video")
                copy.write(block)
    except FileNotFoundError as error:
        raise DataError(f"nothing at {place}; correct the manifest") from error
    except OSError as error:
        raise ResourceError(f"{place} cannot be read: {error}") from error
    if announced is not None and count != announced:
        raise ResourceError(f"{place} broke off after {count} of {announced} bytes")
    return target


def check_digest(file: Path, expected: str) -> None:
    """Make sure that a file is the one that the manifest means.

    Raises:
        BrokenVideo: Its bytes add up to something else.
    """
    if expected and (found := sha256(file)) != expected:
        raise BrokenVideo(f"{file.name} has SHA-256 {found[:12]}..., the manifest says {expected[:12]}...")
