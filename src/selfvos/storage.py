"""Files that are either the old one or the new one, never half of either."""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfvos.errors import OutOfSpace, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def atomic_path(final: Path | str) -> Iterator[Path]:
    """Lend a temporary path beside `final`; on success it takes `final`'s place in one step.

    Args:
        final: Where the finished file shall be; missing parent folders are made.

    Yields:
        A path in the same folder, with the same suffix, to write to in any way.

    Raises:
        OutOfSpace: The disk filled up; `final` is as it was and nothing is left beside it.
        UsageError: The folder cannot be written to.
    """
    final = Path(final)
    temporary = final.with_name(f".{final.stem}-{uuid.uuid4().hex[:8]}.tmp{final.suffix}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        os.replace(temporary, final)
        _flush(final.parent)
    except OSError as error:
        if error.errno in _FULL:
            raise OutOfSpace(f"disk full while writing {final}: free some space and run again") from error
        if error.errno in {errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
            raise UsageError(f"cannot write {final}: {error.strerror}; choose another folder") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(final: Path | str, content: bytes) -> None:
    """Write `content` to `final` atomically; see `atomic_path` for errors."""
    with atomic_path(final) as path:
        path.write_bytes(content)


def write_text(final: Path | str, content: str) -> None:
    """Write `content` as UTF-8 to `final` atomically; see `atomic_path` for errors."""
    write_bytes(final, content.encode())


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

