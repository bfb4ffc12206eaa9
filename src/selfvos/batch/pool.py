"""Workers with a warm model each, whoever runs them: who is free, who has been at it too long, who died."""

import time
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from selfvos.batch.job import Job, Outcome, Plan
from selfvos.errors import ResourceError, SelfvosError

_GRACE_S = 30.0
"""What a worker gets beyond the limit of its video to say so itself."""
_LOADING_S = 900.0
_FAILED_LOADS = 3
"""For each worker, in a row: a machine that goes away takes all of its workers along, and is no reason to give up."""


@dataclass(frozen=True)
class Trouble:
    """A worker cannot load what all videos need."""

    reason: str
    exit_status: int


@dataclass(frozen=True)
class Dead:
    """A worker is gone."""

    reason: str


Word = Outcome | Trouble | Dead | None
"""What comes from a worker; None: it has loaded its model."""


@runtime_checkable
class Hands(Protocol):
    """What runs workers: processes of this machine, or of a cluster."""

    def start(self) -> Any:
        """Begin a worker, and return what it is known by; its first word is that it has loaded its model."""
        ...

    def send(self, worker: Any, job: Job) -> None:
        """Give a worker that has nothing to do a job."""
        ...

    def hear(self, workers: list[Any], seconds: float) -> list[tuple[Any, Word]]:
        """Return what workers said, after the first word or so many seconds."""
        ...

    def end(self, worker: Any) -> None:
        """End a worker at once, whatever it does."""
        ...

    def close(self) -> None:
        """Let go of everything, when all workers have been ended."""
        ...


@dataclass
class _Seat:
    worker: Any
    since: float
    job: Job | None = None
    loaded: bool = False


class Pool:
    """Hands out jobs to a number of workers and replaces those that are lost."""

    def __init__(self, hands: Hands, workers: int) -> None:
        """Start the workers."""
        self._hands = hands
        self._failed_loads = 0
        self._seats = [self._seat() for _ in range(workers)]

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for seat in self._seats:
            self._hands.end(seat.worker)
        self._hands.close()

    def free(self) -> bool:
        """Say whether a worker has nothing to do."""
        return any(seat.loaded and seat.job is None for seat in self._seats)

    def jobs(self) -> list[Job]:
        """Return the jobs that are under way."""
        return [seat.job for seat in self._seats if seat.job is not None]

    def submit(self, job: Job) -> None:
        """Give a job to a free worker."""
        seat = next(seat for seat in self._seats if seat.loaded and seat.job is None)
        seat.job, seat.since = job, time.monotonic()
        self._hands.send(seat.worker, job)

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended, after the first one or so many seconds.

        Raises:
            SelfvosError: No worker can load the model.
        """
        by_worker = {id(seat.worker): seat for seat in self._seats}
        heard = self._hands.hear([seat.worker for seat in self._seats], seconds)
        ended = [self._take(by_worker[id(worker)], word) for worker, word in heard]
        ended += [self._cut_off(seat) for seat in self._seats]
        return [outcome for outcome in ended if outcome is not None]

    def _take(self, seat: _Seat, word: Word) -> Outcome | None:
        if isinstance(word, Trouble):
            error = SelfvosError(word.reason)
            error.exit_status = word.exit_status
            raise error
        if isinstance(word, Dead):
            return self._lost(seat, word.reason)
        if word is None:
            seat.loaded, seat.since, self._failed_loads = True, time.monotonic(), 0
            return None
        seat.job = None
        if word.spent:
            self._replace(seat)
        return word

    def _cut_off(self, seat: _Seat) -> Outcome | None:
        """End a worker that is over its time and does not even say so."""
        took = time.monotonic() - seat.since
        if not seat.loaded and took > _LOADING_S:
            return self._lost(seat, f"no model after {_LOADING_S:g} s")
        if seat.job is None or took <= seat.job.plan.limit_s + _GRACE_S:
            return None
        job = seat.job
        self._replace(seat)
        return _of(job, "timeout", f"took longer than {job.plan.limit_s:g} s, and the worker did not answer", took)

    def _lost(self, seat: _Seat, reason: str) -> Outcome | None:
        job, took = seat.job, time.monotonic() - seat.since
        self._failed_loads += not seat.loaded
        if self._failed_loads >= _FAILED_LOADS * len(self._seats):
            raise ResourceError(f"{self._failed_loads} workers in a row ended while they loaded the model: {reason}")
        self._replace(seat)
        return None if job is None else _of(job, "lost", reason, took)

    def _replace(self, seat: _Seat) -> None:
        self._hands.end(seat.worker)
        new = self._seat()
        seat.worker, seat.since, seat.job, seat.loaded = new.worker, new.since, None, False

    def _seat(self) -> _Seat:
        return _Seat(self._hands.start(), time.monotonic())


class Worker:
    """Does jobs with a model that is loaded once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._model: Any = None

    def load(self) -> Trouble | None:
        """Load the model; return why not where that cannot be."""
        from selfvos import api

        try:
            api.use_threads(self._plan.threads)
            self._model = api.load(self._plan.weights, device=self._plan.device)
            api.track_config(self._model, self._plan.preset, self._plan.quality)
        except SelfvosError as error:
            return Trouble(str(error), error.exit_status)
        return None

    def do(self, job: Job) -> Outcome:
        """Track one video within its limits."""
        from selfvos.batch.limits import track_within

        return track_within(job, self._model)


def _of(job: Job, state: Any, reason: str, seconds: float) -> Outcome:
    row = job.row
    return Outcome(
        key=row.key, name=row.name, state=state, attempt=job.attempt, reason=reason, seconds=round(seconds, 3)
    )
