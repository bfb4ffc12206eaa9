"""What must be true of a file before anything reads it, and how messages name it."""

import os
import stat
from pathlib import Path

from selfvos.errors import DataError, UsageError

_LONGEST_NAME = 200


def named(path: Path | str) -> str:
    """Return a path for a message: on one line, with what cannot be printed escaped, and cut in the middle if long."""
    text = str(path)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(text) <= _LONGEST_NAME:
        return text
    half = _LONGEST_NAME // 2
    return f"{text[:half]}...{text[-half:]} ({len(text)} characters)"


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder of this name, even where the name is none that a system accepts."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def require_file(path: Path, error: type[DataError] = DataError) -> None:
    """Make sure that a path is a regular file with something in it, without opening it: a pipe could wait for ever.

    Args:
        path: What is going to be read.
        error: What to raise where something is there that cannot be read.

    Raises:
        UsageError: There is nothing of this name.
        DataError: It is a folder, a pipe or device, or empty.
    """
    try:
        status = path.stat()
    except PermissionError as reason:
        raise error(f"{named(path)} may not be read: permission denied; change its permissions") from reason
    except (OSError, ValueError) as reason:
        raise UsageError(f"no such file: {named(path)} ({_why_absent(path, reason)})") from reason
    if stat.S_ISDIR(status.st_mode):
        raise error(f"{named(path)} cannot be read: it is a folder, not a file; give a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{named(path)} cannot be read: it is not a regular file; copy its content to a file first")
    if status.st_size == 0:
        raise error(f"{named(path)} cannot be read: it is empty (0 bytes); copy or download it again")
    if not os.access(path, os.R_OK):
        raise error(f"{named(path)} may not be read: permission denied; change its permissions")


def _why_absent(path: Path, reason: Exception) -> str:
    try:
        if path.is_symlink():
            return f"a link to {named(os.readlink(path))}, which is not there"
    except (OSError, ValueError):
        pass
    return str(getattr(reason, "strerror", None) or reason)
