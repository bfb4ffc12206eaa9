"""Workers as processes of this machine: no set-up, and they can be ended at any time."""

import multiprocessing
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from selfvos.batch.job import Job, Plan
from selfvos.batch.pool import Dead, Word, Worker


@dataclass(frozen=True, eq=False)
class _Child:
    process: BaseProcess
    pipe: Connection


class Processes:
    """Starts a fresh interpreter for each worker: nothing of this one is copied."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._context = multiprocessing.get_context("spawn")

    def start(self) -> Any:
        """See `Hands`."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(self._plan, theirs), daemon=True, name="selfvos-worker")
        process.start()
        theirs.close()
        return _Child(process, ours)

    def send(self, worker: Any, job: Job) -> None:
        """See `Hands`; that a worker is gone is told by `hear`."""
        with suppress(OSError):
            worker.pipe.send(job)

    def hear(self, workers: list[Any], seconds: float) -> list[tuple[Any, Word]]:
        """See `Hands`."""
        ready = wait([worker.pipe for worker in workers], timeout=seconds)
        return [(worker, self._word(worker)) for worker in workers if worker.pipe in ready]

    def end(self, worker: Any) -> None:
        """See `Hands`."""
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()

    def close(self) -> None:
        """See `Hands`."""

    def _word(self, worker: _Child) -> Word:
        try:
            return worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(5)
            return Dead(_how(worker.process.exitcode))


def serve(plan: Plan, pipe: Connection) -> None:
    """Do jobs until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the batch ends this process
    worker = Worker(plan)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(worker.load())
        while True:
            pipe.send(worker.do(pipe.recv()))


def _how(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"the worker ended with status {exit_code}"
    with suppress(ValueError):
        return f"the worker was ended by {signal.Signals(-exit_code).name}"
    return f"the worker was ended by signal {-exit_code}"
