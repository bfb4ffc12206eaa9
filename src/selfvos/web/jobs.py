"""Long work, handed to the process that has the model: one at a time, in order, each of which can be cancelled."""

import itertools
import multiprocessing
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from selfvos.errors import DataError, ResourceError, UsageError
from selfvos.web.worker import work

_KEPT = 200
State = Literal["waiting", "running", "done", "cancelled", "failed"]


@dataclass(frozen=True)
class Job:
    """One piece of work."""

    id: str
    kind: str
    project: str
    """Id of the project that it belongs to."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What to do, as plain values."""
    state: State = "waiting"
    done: int = 0
    total: int | None = None
    seconds_left: float | None = None
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)


class Jobs:
    """The queue and its worker; the worker is started when the first job comes, and again should it die."""

    def __init__(self, setup: dict[str, Any], most: int, heard: Callable[[Job, dict[str, Any]], None]) -> None:
        """Make an empty queue.

        Args:
            setup: What the worker needs to load the model.
            most: Jobs that may wait.
            heard: Called with a job and what the worker says of it, in a thread of its own.
        """
        self._setup, self._most, self._heard = setup, most, heard
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._spawn = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._inbox: Any = None
        self._cancelled: Any = None
        self._running = ""
        self._closed = False

    def add(self, kind: str, project: str, **facts: Any) -> Job:
        """Put a job at the end of the queue.

        Raises:
            ResourceError: Too many are waiting.
        """
        with self._lock:
            if sum(job.state == "waiting" for job in self._jobs.values()) >= self._most:
                raise ResourceError(f"{self._most} jobs are waiting already; try again when some are done")
            job = Job(f"j{next(self._numbers)}", kind, project, facts)
            self._jobs[job.id] = job
            self._forget_old()
            self._next()
        return self.get(job.id)

    def result(self, kind: str, project: str, patience_s: float, **facts: Any) -> dict[str, Any]:
        """Put a job at the end of the queue, wait for it, and return what came of it.

        Raises:
            ResourceError: Too many are waiting, or it took longer than `patience_s`.
            DataError: It failed.
        """
        id = self.add(kind, project, **facts).id
        with self._changed:
            if not self._changed.wait_for(lambda: self._jobs[id].state not in ("waiting", "running"), patience_s):
                self.cancel(id)
                raise ResourceError("this machine is too busy just now; try again")
            job = self._jobs.pop(id)
        if job.state != "done":
            raise DataError(job.error or "it was cancelled")
        return job.result

    def get(self, id: str) -> Job:
        """Return a job as it is now.

        Raises:
            UsageError: There is no such job.
        """
        with self._lock:
            if id not in self._jobs:
                raise UsageError(f"no job {id}")
            return self._jobs[id]

    def all(self) -> list[Job]:
        """Return the jobs that are remembered, in the order in which they came."""
        with self._lock:
            return list(self._jobs.values())

    def cancel(self, id: str) -> Job:
        """Cancel a job that waits, or ask one that runs to stop after its frame."""
        with self._lock:
            job = self.get(id)
            if job.state == "waiting":
                self._put(replace(job, state="cancelled"), {"kind": "cancelled"})
            elif job.state == "running":
                self._cancelled.set()
            return self.get(id)

    def close(self) -> None:
        """End the worker; what it was doing is kept as far as it is."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            if process is not None:
                self._cancelled.set()
                self._inbox.put(None)
        if process is not None:
            process.join(timeout=3)
            if process.is_alive():
                process.terminate()

    def _next(self) -> None:
        """Hand the next job to the worker, if it is free."""
        if self._running or self._closed:
            return
        job = next((job for job in self._jobs.values() if job.state == "waiting"), None)
        if job is None:
            return
        if self._process is None or not self._process.is_alive():
            self._start()
        self._running = job.id
        self._cancelled.clear()
        self._put(replace(job, state="running"), {"kind": "running"})
        self._inbox.put({"id": job.id, "kind": job.kind, **job.facts})

    def _start(self) -> None:
        self._inbox, outbox = self._spawn.Queue(), self._spawn.Queue()
        self._cancelled = self._spawn.Event()
        arguments = (self._setup, self._inbox, outbox, self._cancelled)
        self._process = self._spawn.Process(target=work, args=arguments, daemon=True, name="selfvos-worker")
        self._process.start()
        threading.Thread(target=self._listen, args=(self._process, outbox), daemon=True).start()

    def _listen(self, process: Any, outbox: Any) -> None:
        while True:
            try:
                self._take(outbox.get(timeout=0.5))
            except queue.Empty:
                if not process.is_alive():
                    self._lost(process)
                    return

    def _take(self, event: dict[str, Any]) -> None:
        with self._lock:
            job = self._jobs.get(event["job"])
            if job is None:
                return
            match event["kind"]:
                case "progress":
                    new = replace(job, done=event["done"], total=event["total"], seconds_left=event.get("seconds_left"))
                case "done":
                    new = replace(job, state="done", result=event.get("result", {}), seconds_left=0.0)
                case "cancelled":
                    new = replace(job, state="cancelled")
                case "failed":
                    new = replace(job, state="failed", error=event["error"])
                case _:
                    new = job
            self._put(new, event)
            if new.state not in ("waiting", "running"):
                self._running = ""
                self._next()

    def _lost(self, process: Any) -> None:
        with self._lock:
            if process is not self._process or self._closed:
                return
            self._process = None
            job = self._jobs.get(self._running)
            self._running = ""
            if job is not None:
                error = "the process that tracks has ended, for want of memory perhaps; start again from where it is"
                self._put(replace(job, state="failed", error=error), {"kind": "failed"})
            self._next()

    def _put(self, job: Job, event: dict[str, Any]) -> None:
        self._jobs[job.id] = job
        self._changed.notify_all()
        self._heard(job, event)

    def _forget_old(self) -> None:
        over = [job.id for job in self._jobs.values() if job.state not in ("waiting", "running")][:-_KEPT]
        for id in over:
            del self._jobs[id]
