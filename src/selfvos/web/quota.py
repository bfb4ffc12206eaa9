"""How much room uploads may take, and whether there is any left."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from selfvos.errors import OutOfSpace
from selfvos.web.settings import WebConfig

_SPARE_BYTES = 2**28
"""Left free, so that what is drawn and tracked still finds room."""
_LONGEST_S = 7 * 24 * 3600
"""An upload that nothing came of for so long has been given up."""
_ABOUT = "suffix"


def check_room(config: WebConfig, coming: int) -> None:
    """Refuse an upload for which there is no room, before a byte of it comes.

    Room is kept for uploads that have begun. While the pieces of one are put together, it is there twice.

    Args:
        config: Says where uploads lie and how much they may take.
        coming: Bytes of the new one.

    Raises:
        OutOfSpace: Uploads would take more than they may, or the disk is too full.
    """
    _forget_given_up(config)
    begun = [(total, _arrived(folder)) for folder, total in _begun(config)]
    kept = sum(_bytes(path) for path in (config.projects / "videos").glob("[!.]*"))
    taken = kept + sum(total for total, _ in begun)
    if taken + coming > config.most_stored_bytes:
        raise OutOfSpace(
            f"uploads may take {_gb(config.most_stored_bytes)} here and {_gb(taken)} are taken: remove projects that "
            "are done, or start the page with a larger --max-storage"
        )
    needed = 2 * coming + sum(2 * total - arrived for total, arrived in begun) + _SPARE_BYTES
    free = shutil.disk_usage(config.projects).free
    if free < needed:
        raise OutOfSpace(
            f"this upload needs {_gb(needed)} on the disk of {config.projects} and {_gb(free)} are free: make some room"
        )


def _begun(config: WebConfig) -> Iterator[tuple[Path, int]]:
    """Yield folder and announced bytes of each upload that has begun."""
    for about in (config.projects / "uploads").glob(f"*/{_ABOUT}"):
        with suppress(OSError, ValueError):  # it may have come to its end meanwhile
            yield about.parent, int(about.read_text().split()[1])


def _forget_given_up(config: WebConfig) -> None:
    for folder, _ in list(_begun(config)):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _LONGEST_S:
                shutil.rmtree(folder, ignore_errors=True)


def _arrived(folder: Path) -> int:
    return sum(_bytes(piece) for piece in folder.glob("[!.]*.piece"))


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
