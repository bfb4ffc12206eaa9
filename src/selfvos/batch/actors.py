"""Workers as Ray actors: on this machine without any set-up, or on all machines of a cluster."""

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from selfvos.batch.extras import need
from selfvos.batch.job import Job, Plan
from selfvos.batch.pool import Dead, Word, Worker
from selfvos.errors import ResourceError

_ARENAS = "MALLOC_ARENA_MAX"
_MEMORY_BYTES = 100 * 2**20
"""Of Ray's object store: nothing large goes through it."""


@dataclass(eq=False)
class _Actor:
    handle: Any
    word: Any
    """What the next word will come as."""


class Actors:
    """One actor a worker. They are not restarted by Ray, so that a video that ends its worker is known for it."""

    def __init__(self, plan: Plan, *, workers: int, address: str | None = None) -> None:
        """Connect to a cluster, or begin a Ray of one's own on this machine.

        Raises:
            MissingExtra: Ray is not installed.
            ResourceError: Nobody answers at the address.
        """
        need("ray", "ray", "a batch on several workers")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported: nothing is sent home
        import ray

        self._ray, self._plan = ray, plan
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        try:
            if address:
                ray.init(address, **quiet)
            else:
                own = {"num_cpus": workers * plan.threads, "object_store_memory": _MEMORY_BYTES}
                ray.init("local", include_dashboard=False, **own, **quiet)
        except Exception as error:  # Ray raises what it likes, plain exceptions too
            raise ResourceError(f"no Ray at {address or 'this machine'}: {' '.join(str(error).split())}") from error
        gpus = int(plan.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
        worker = {
            "num_cpus": plan.threads,
            "num_gpus": gpus,
            "max_restarts": 0,
            "runtime_env": {"env_vars": _allocator()},
        }
        self._kind: Any = ray.remote(**worker)(Worker)

    def start(self) -> Any:
        """See `Hands`."""
        handle = self._kind.remote(self._plan)
        return _Actor(handle, handle.load.remote())

    def send(self, worker: Any, job: Job) -> None:
        """See `Hands`."""
        worker.word = worker.handle.do.remote(job)

    def hear(self, workers: list[Any], seconds: float) -> list[tuple[Any, Word]]:
        """See `Hands`."""
        waiting = {worker.word: worker for worker in workers if worker.word is not None}
        if not waiting:
            return []
        ready, _ = self._ray.wait(list(waiting), num_returns=1, timeout=seconds)
        # Who else is ready by now.
        ready, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0) if ready else ([], [])
        return [(waiting[one], self._word(waiting[one])) for one in ready]

    def end(self, worker: Any) -> None:
        """See `Hands`."""
        with suppress(Exception):  # gone already, in one of many ways
            self._ray.kill(worker.handle)

    def close(self) -> None:
        """See `Hands`."""
        self._ray.shutdown()

    def _word(self, worker: _Actor) -> Word:
        word, worker.word = worker.word, None
        try:
            return self._ray.get(word)
        except self._ray.exceptions.RayActorError as error:
            return Dead(f"the worker was lost: {_first_line(error)}")
        except self._ray.exceptions.RayError as error:
            return Dead(f"the worker failed: {_first_line(error)}")


def _allocator() -> dict[str, str]:
    """Return what tells glibc, where a worker begins, to serve all threads from two arenas.

    Ray's own threads have made an arena each by the time that `api.use_threads` could say so, and those of each video
    leave holes in others of them: a worker grew from 670 MB to 840 over 200 clips, and stays within 623 and 652 so.
    """
    return {_ARENAS: os.environ.get(_ARENAS, "2")}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]
