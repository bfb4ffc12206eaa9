"""Time and memory that one video may take: kept by whoever does the work, so that a poisoned one harms no other."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfvos.batch.job import Job, Outcome, State, track_one
from selfvos.types import Watching

_EVERY_S = 0.1
_GRACE_S = 5.0
"""How long a video that is over its limit has to come to the end of its frame."""
_SLACK_BYTES = 2**31
"""Addresses that threads, arenas and mapped files take without using memory."""


def track_within(job: Job, model: Any) -> Outcome:
    """Track one video as `track_one`, and no longer or with more memory than its plan allows.

    The work runs in a thread of its own. Over a limit it is asked to stop at the next frame; where it does not come
    to one, as in a decoder that goes round in circles, the outcome says that this process is spent: a thread cannot be
    ended, its process can.
    """
    work = _Work(job, model)
    with _fewer_addresses(job.plan.limit_gb, model):
        work.start()
        over = work.watch()
        if over is None:
            return replace(work.outcome, peak_mb=work.peak_mb())
        work.join(_GRACE_S)
    reason = {
        "timeout": f"took longer than {job.plan.limit_s:g} s",
        "memory": f"took more than {job.plan.limit_gb:g} GiB of memory",
    }[over]
    if work.is_alive():
        facts = {"key": job.row.key, "name": job.row.name, "attempt": job.attempt, "seconds": work.seconds()}
        return Outcome(state=over, reason=reason, peak_mb=work.peak_mb(), spent=True, **facts)
    if work.outcome.state in {"done", "already", "refused"}:  # it came to its end in the meantime
        return replace(work.outcome, peak_mb=work.peak_mb())
    return replace(work.outcome, state=over, reason=reason, peak_mb=work.peak_mb())


class _Work(threading.Thread):
    """One attempt, under way."""

    def __init__(self, job: Job, model: Any) -> None:
        super().__init__(name=f"track-{job.row.name}", daemon=True)
        self._job, self._model = job, model
        self._asked = threading.Event()
        self._begin = time.monotonic()
        self._before = self._most = _resident_bytes()
        self.outcome: Outcome

    def run(self) -> None:
        self.outcome = track_one(self._job, self._model, Watching(None, self._asked.is_set))

    def watch(self) -> State | None:
        """Wait for the end; return which limit was passed, if one was."""
        plan = self._job.plan
        while self.is_alive():
            self.join(_EVERY_S)
            self._most = max(self._most, _resident_bytes())
            over: State | None = None
            if self.seconds() > plan.limit_s:
                over = "timeout"
            elif self._most - self._before > plan.limit_gb * 2**30:
                over = "memory"
            if over and self.is_alive():
                self._asked.set()
                return over
        return None

    def seconds(self) -> float:
        return round(time.monotonic() - self._begin, 3)

    def peak_mb(self) -> float:
        return round(self._most / 2**20, 1)


@contextmanager
def _fewer_addresses(limit_gb: float, model: Any) -> Iterator[None]:
    """Have a single huge demand for memory refused at once, before anybody could look.

    Not where a GPU is used, whose drivers reserve addresses by the terabyte, and not where the system cannot.
    """
    device = getattr(getattr(model, "device", None), "type", "cpu")
    if device != "cpu" or not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _address_bytes() + int(limit_gb * 2**30) + _SLACK_BYTES
    allowed = [limit for limit in (wanted, *before) if limit != resource.RLIM_INFINITY]
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (min(allowed), before[1]))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, before)


def _address_bytes() -> int:
    return _pages(0)


def _resident_bytes() -> int:
    return _pages(1)


def _pages(column: int) -> int:
    """Return a number of /proc/self/statm in bytes; 0 where there is none: the limit of time holds all the same."""
    try:
        import resource

        return int(Path("/proc/self/statm").read_text().split()[column]) * resource.getpagesize()
    except (ImportError, OSError):
        return 0
