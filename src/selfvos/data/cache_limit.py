"""A folder of decoded videos kept below a size, by several processes at once: what one of them uses, none removes."""

import json
import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

_LEASE = ".lease-"
_held: list[IO[str]] = []
"""Leases of this process, locked until it ends, however it does."""


def lease(cache: Path, names: Iterable[str]) -> None:
    """Claim files of a cache for as long as this process runs, whether they are there yet or not.

    Where the system has no locks on files, nothing can be claimed, and `evict` removes nothing.
    """
    with _locked(cache) as locks:
        if not locks:
            return
        import fcntl

        # Kept open on purpose: the lock ends with the process.
        file = open(cache / f"{_LEASE}{uuid.uuid4().hex[:12]}", "w", encoding="utf-8")  # noqa: SIM115
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump(sorted(names), file)
        file.flush()
        _held.append(file)


def evict(cache: Path, limit_bytes: int, suffix: str) -> int:
    """Remove what was used longest ago until a cache is within its limit; what any process has claimed stays.

    Args:
        cache: The folder.
        limit_bytes: What all files of the suffix may take together.
        suffix: How cached files end, with the dot.

    Returns:
        How many were removed.
    """
    with _locked(cache) as locks:
        if not locks:
            log.warning("%s has no limit: this system cannot tell which files are in use", cache)
            return 0
        claimed = _claimed(cache)
        files = [(about.st_mtime_ns, about.st_size, path) for path, about in _files(cache, suffix)]
        total, removed = sum(size for _, size, _ in files), 0
        for _, size, path in sorted(files, key=lambda file: file[0]):
            if total <= limit_bytes:
                break
            if path.name not in claimed:
                path.unlink(missing_ok=True)
                total, removed = total - size, removed + 1
        if total > limit_bytes:
            log.warning("%s holds %d MiB, more than its limit: all of it is in use", cache, total // 2**20)
        return removed


def touch(path: Path) -> None:
    """Note that a cached file was used just now."""
    with suppress(OSError):
        os.utime(path)


def _files(cache: Path, suffix: str) -> Iterator[tuple[Path, os.stat_result]]:
    for path in cache.glob(f"*{suffix}"):
        if not path.name.startswith("."):
            with suppress(FileNotFoundError):
                yield path, path.stat()


def _claimed(cache: Path) -> set[str]:
    """Return the names that living processes have claimed, and remove the leases of those that are gone."""
    import fcntl

    ours = {file.name for file in _held}
    claimed: set[str] = set()
    for path in cache.glob(f"{_LEASE}*"):
        with suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
            if str(path) not in ours:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    path.unlink()
                    continue
            claimed.update(json.load(file))
    return claimed


@contextmanager
def _locked(cache: Path) -> Iterator[bool]:
    """Have one process at a time look at leases and files; yield whether the system can."""
    try:
        import fcntl
    except ImportError:
        yield False
        return
    with (cache / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield True
