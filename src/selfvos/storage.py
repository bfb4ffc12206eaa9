"""Files that are either the old one or the new one, never half of either."""

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from selfvos.errors import DataError, OutOfSpace, SelfvosError, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL_IN_WORDS = ("no space left", "not enough free space", "quota exceeded")
_NEARLY_NOTHING_BYTES = 2**20
_POLL_SECONDS = 0.1
_SEAL = "seal"
_REFUSED = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.ENOENT),
}


@contextmanager
def atomic_path(final: Path | str) -> Iterator[Path]:
    """Lend a temporary path beside `final`; on success it takes `final`'s place in one step.

    Args:
        final: Where the finished file shall be; missing parent folders are made.

    Yields:
        A path in the same folder, with the same suffix, to write to in any way. Its name starts with a
        dot: a process killed half way can leave it behind, so readers of a folder skip such names.

    Raises:
        OutOfSpace: The disk filled up; `final` is as it was and nothing is left beside it.
        UsageError: The folder cannot be written to, or `final` is no regular file.
    """
    final = Path(final)
    temporary = final.with_name(f".{final.stem[:32]}-{uuid.uuid4().hex[:8]}.tmp{final.suffix}")
    try:
        _refuse_special(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        os.replace(temporary, final)
    except SelfvosError:
        raise
    except Exception as error:
        if _is_full(error, final.parent):
            raise OutOfSpace(f"disk full while writing {final}: free some space and run again") from error
        if isinstance(error, OSError) and _is_refused(error, temporary):
            raise UsageError(f"cannot write {final}: {error.strerror}; choose another folder") from error
        raise
    finally:
        # Where the folder itself is the trouble, removing from it fails too and would hide the reason.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _flush_folder(final.parent)


@contextmanager
def atomic_folder(final: Path | str, *, replace: bool = False) -> Iterator[Path]:
    """Lend an empty folder beside `final`; on success it takes `final`'s name in one step.

    Args:
        final: The folder to make; missing parent folders are made as well.
        replace: Remove what is at `final` once the new folder has taken its name.

    Yields:
        A folder to fill in any way. Its name starts with a dot: a process killed half way can leave it behind.

    Raises:
        OutOfSpace: The disk filled up; nothing is left.
        UsageError: The folder cannot be written to, or there is something at `final` that is not to be replaced.
    """
    final = Path(final)
    temporary = final.with_name(f".{final.name[:32]}-{uuid.uuid4().hex[:8]}.tmp")
    old = temporary.with_suffix(".old")
    if os.path.lexists(final) and not replace:
        raise UsageError(f"cannot write {final}: it is there already; choose another name")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _exchange(temporary, final, old)
    except SelfvosError:
        raise
    except Exception as error:
        if _is_full(error, final.parent):
            raise OutOfSpace(f"disk full while writing {final}: free some space and run again") from error
        if isinstance(error, OSError) and _is_refused(error, temporary):
            raise UsageError(f"cannot write {final}: {error.strerror}; choose another folder") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    _flush_folder(final.parent)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep a folder, which is made if missing, from other processes that ask for it in the same way.

    The lock ends with the process, however that ends. Where the system has no such locks, nobody is kept out.

    Raises:
        UsageError: Another process has it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with _lock_file(folder / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another process works on {folder}; wait for it, or choose another folder") from error
        yield


def place(finished: Path, final: Path) -> bool:
    """Give a finished file or folder its name in one step, unless somebody else was faster.

    Args:
        finished: Whole, and on the same file system.
        final: Where it shall be; missing parent folders are made.

    Returns:
        Whether it went there. If not, both are untouched.

    Raises:
        OutOfSpace: The disk is full.
        UsageError: The folder cannot be written to.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if finished.is_dir():
            if os.path.lexists(final):
                return False
            os.rename(finished, final)
        else:
            _flush(finished)
            _link(finished, final)
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY}:
            return False
        if _is_full(error, final.parent):
            raise OutOfSpace(f"disk full while writing {final}: free some space and run again") from error
        if _is_refused(error, final):
            raise UsageError(f"cannot write {final}: {error.strerror}; choose another folder") from error
        raise
    _flush_folder(final.parent)
    return True


@contextmanager
def in_turn(final: Path, check: Callable[[], None]) -> Iterator[None]:
    """Wait until no other process makes a file, so that what costs much is made once.

    Who comes second looks again whether it is there. The lock ends with the process; where the system has no such
    locks, nobody waits.

    Args:
        final: The file that is to be made; missing parent folders are made.
        check: Called while waiting; what it raises ends that.

    Raises:
        UsageError: The folder cannot be written to.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    place = final.with_name(f".{final.name}.lock")
    with _lock_file(place) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                check()
                time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            # Who waits for the removed file gets its turn all the same, and finds what was made.
            place.unlink(missing_ok=True)


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


def sealed(facts: dict[str, Any]) -> dict[str, Any]:
    """Return plain facts with the digest of all of them, so that no damage to any of them goes unnoticed."""
    return {**facts, _SEAL: _digest_of(facts)}


def unsealed(stored: dict[str, Any], *, required: bool) -> dict[str, Any]:
    """Return the facts that `sealed` was given.

    Args:
        stored: What was read again.
        required: Refuse facts without a seal, as earlier versions wrote them.

    Raises:
        DataError: They are damaged.
    """
    facts = {name: value for name, value in stored.items() if name != _SEAL}
    if (required or _SEAL in stored) and stored.get(_SEAL) != _digest_of(facts):
        raise DataError("what it says of itself is damaged (digest differs)")
    return facts


def _digest_of(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _lock_file(place: Path) -> TextIO:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return open(place, "w")
    except OSError as error:
        raise UsageError(f"cannot write {place.parent}: {error.strerror}; choose another folder") from error


def _exchange(new: Path, final: Path, old: Path) -> None:
    """Give `new` the name `final`; what was there goes to `old`, and comes back where that fails."""
    replaced = os.path.lexists(final)
    if replaced:
        os.rename(final, old)
    try:
        os.rename(new, final)
    except OSError:
        if replaced:
            os.rename(old, final)
        raise


def _link(finished: Path, final: Path) -> None:
    """Move a file to a name that nobody has: a rename alone would replace what another process wrote meanwhile."""
    try:
        os.link(finished, final)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP}:
            raise
        # Some file systems have no second names for one file; there, the one who is slower by a moment replaces
        # a result by its equal.
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, "there already", str(final)) from error
        os.rename(finished, final)
    else:
        os.unlink(finished)


def _refuse_special(final: Path) -> None:
    # Renaming over /dev/null would succeed for a privileged user and break the machine.
    if os.path.lexists(final) and not final.is_symlink() and not final.is_file():
        raise UsageError(f"cannot write {final}: there is something else than a file; choose another name")


def _is_full(error: Exception, folder: Path) -> bool:
    """Tell whether `error` comes from a full disk; torch, safetensors and numpy each say so in their own way."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    if any(words in str(error).lower() for words in _FULL_IN_WORDS):
        return True
    try:
        return shutil.disk_usage(folder).free < _NEARLY_NOTHING_BYTES
    except OSError:
        return False


def _is_refused(error: OSError, temporary: Path) -> bool:
    """Tell whether `error` is about the place being written to, not about something read meanwhile."""
    if error.errno == errno.ENOENT and temporary.parent.is_dir():
        return False
    place = Path(error.filename) if isinstance(error.filename, str) else None
    return error.errno in _REFUSED and (place is None or place == temporary or place in temporary.parents)


def _flush(file: Path) -> None:
    with open(file, "rb+") as handle:
        os.fsync(handle.fileno())


def _flush_folder(folder: Path) -> None:
    # Makes the new name survive a power cut. Not every system can flush a folder; the file is complete either way.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
