"""Long work, handed to the process that has the model: one at a time, in order, each of which can be cancelled."""

import itertools
import multiprocessing
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from selfvos.errors import DataError, ResourceError, UsageError
from selfvos.web.worker import work

_KEPT = 200
_PATIENCE_S = 1.0
State = Literal["waiting", "running", "done", "cancelled", "failed"]


@dataclass(frozen=True)
class Job:
    """One piece of work."""

    id: str
    kind: str
    project: str
    """Id of the project, or of the learning, that it belongs to."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What to do, as plain values."""
    state: State = "waiting"
    done: int = 0
    total: int | None = None
    seconds_left: float | None = None
    stage: str = ""
    """What it is at, in words."""
    numbers: dict[str, float] = field(default_factory=dict)
    """What the latest step came to, such as a loss."""
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
        self._process: Any = None
        self._pipe: Any = None
        self._stop: Any = None
        self._thread: threading.Thread | None = None
        self._asked: set[str] = set()
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
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._serve, daemon=True, name="selfvos-jobs")
                self._thread.start()
            self._changed.notify_all()
        return job

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
            self._asked.discard(id)
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

    def latest(self, project: str) -> Job | None:
        """Return the job of a project that came last, if any is remembered."""
        with self._lock:
            return next((job for job in reversed(self._jobs.values()) if job.project == project), None)

    def busy(self, project: str) -> bool:
        """Say whether a job of a project waits or runs."""
        return any(job.project == project and job.state in ("waiting", "running") for job in self.all())

    def cancel(self, id: str) -> Job:
        """Cancel a job that waits, or ask one that runs to stop after its frame."""
        with self._lock:
            job = self.get(id)
            if job.state == "waiting":
                self._put(replace(job, state="cancelled"), {"kind": "cancelled"})
            elif job.state == "running":
                self._ask_to_stop(id)
            return self.get(id)

    def close(self) -> None:
        """End the worker; what it was doing is kept as far as it is."""
        with self._lock:
            self._closed = True
            running = next((job.id for job in self._jobs.values() if job.state == "running"), None)
            if running:
                self._ask_to_stop(running)
            self._changed.notify_all()
        thread = self._thread
        if thread is not None:
            thread.join(timeout=_PATIENCE_S)
        with self._lock:
            process = self._process
        if process is not None and process.is_alive():
            process.kill()
            process.join(timeout=_PATIENCE_S)
            if thread is not None:  # it hears of the worker's end by its pipe
                thread.join(timeout=_PATIENCE_S)

    def _serve(self) -> None:
        """Hand jobs to the worker, one after the other; in a thread of its own."""
        while (job := self._next()) is not None:
            try:
                self._start()
                self._pipe.send({"id": job.id, "kind": job.kind, **job.facts})
                while self._take(self._pipe.recv()):
                    pass
            except (EOFError, OSError):  # its ends of the pipes close with the worker, however that ends
                self._lost(job.id)
        if self._process is not None:
            self._pipe.close()
            self._stop.close()
            self._process.join()

    def _next(self) -> Job | None:
        """Wait for a job and call it running; None when there will be none."""
        with self._changed:
            while not self._closed:
                job = next((job for job in self._jobs.values() if job.state == "waiting"), None)
                if job is not None:
                    self._put(replace(job, state="running"), {"kind": "running"})
                    return job
                self._changed.wait()
        return None

    def _start(self) -> None:
        """Start a worker unless there is one; pipes, as a worker that is killed leaves no lock of theirs held."""
        if self._process is not None and self._process.is_alive():
            return
        spawn = multiprocessing.get_context("spawn")
        pipe, far = spawn.Pipe()
        asked, ask = spawn.Pipe(duplex=False)
        process = spawn.Process(target=work, args=(self._setup, far, asked), daemon=True, name="selfvos-worker")
        process.start()
        far.close()
        asked.close()
        with self._lock:
            self._process, self._pipe, self._stop = process, pipe, ask
            for id in self._asked:
                self._ask_to_stop(id)

    def _ask_to_stop(self, id: str) -> None:
        self._asked.add(id)  # a worker that is not there yet is asked when it is
        # Named, so that a stop that comes too late never meets the next job.
        if self._stop is not None:
            with suppress(OSError):
                self._stop.send(id)

    def _take(self, event: dict[str, Any]) -> bool:
        """Take in what the worker says; return whether it is still at it."""
        with self._lock:
            job = self._jobs[event["job"]]
            match event["kind"]:
                case "progress":
                    told = {name: event[name] for name in ("done", "total", "seconds_left", "stage", "numbers")}
                    new = replace(job, **told)
                case "done":
                    new = replace(job, state="done", result=event.get("result", {}), seconds_left=0.0)
                case "cancelled":
                    new = replace(job, state="cancelled")
                case "failed":
                    new = replace(job, state="failed", error=event["error"])
                case _:
                    new = job
            self._put(new, event)
            return new.state == "running"

    def _lost(self, id: str) -> None:
        with self._lock:
            self._process = None
            error = "the process that tracks has ended, for want of memory perhaps; start again from where it is"
            self._put(replace(self._jobs[id], state="failed", error=error), {"kind": "failed"})

    def _put(self, job: Job, event: dict[str, Any]) -> None:
        self._jobs[job.id] = job
        self._changed.notify_all()
        self._heard(job, event)

    def _forget_old(self) -> None:
        over = [job.id for job in self._jobs.values() if job.state not in ("waiting", "running")][:-_KEPT]
        for id in over:
            del self._jobs[id]
