"""One video of a batch, from its row to its result: the whole of what a worker does, without any engine."""

import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from selfvos import api
from selfvos.batch.fetching import check_digest, fetched
from selfvos.batch.manifest import Row
from selfvos.batch.sink import Layout, Task, open_sink
from selfvos.batch.store import open_store
from selfvos.errors import DataError, OutOfSpace, ResourceError, Stopped, UsageError
from selfvos.settings import override
from selfvos.types import Watch, ignore

State = Literal["done", "already", "refused", "failed", "timeout", "memory", "full", "stopped", "lost"]
"""``done`` and ``already`` (somebody else was faster) are covered. ``refused``: the data, which another attempt would
not change. ``failed``, ``timeout``, ``memory``, ``lost`` (the worker died): another attempt may do. ``full``: no room
for results, which stops the batch. ``stopped``: somebody asked."""

COVERED: frozenset[State] = frozenset({"done", "already"})
WORTH_ANOTHER: frozenset[State] = frozenset({"failed", "timeout", "memory", "lost"})
_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all videos of a batch have in common."""

    out: str
    """Path or URL that results go to."""
    layout: Layout = "parquet"
    weights: str = "default"
    device: str = "auto"
    preset: str | None = None
    quality: str | None = None
    settings: tuple[str, ...] = ()
    """Tracker settings, such as ``match.top_k=5``."""
    threads: int = 1
    """Threads that a worker computes with."""
    limit_s: float = 3600.0
    """Seconds that one video may take."""
    limit_gb: float = 8.0
    """Memory in GiB that one video may take, besides what the worker holds before it."""
    trusted: bool = False
    """Videos are one's own: the worker decodes them itself, without a process and limits for each."""


@dataclass(frozen=True)
class Job:
    """One attempt at one video."""

    row: Row
    plan: Plan
    attempt: int = 1
    """1 for the first."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an attempt."""

    key: str
    name: str
    state: State
    attempt: int = 1
    frames: int = 0
    objects: int = 0
    seconds: float = 0.0
    """From the first byte to the last, without loading the model."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of ``fetch``, ``prompt``, ``track`` and ``keep``."""
    peak_mb: float = 0.0
    """Most memory that the worker had during the attempt, where somebody looked."""
    reason: str = ""
    """Why not, in one line."""
    trace: str = ""
    """Where a bug comes from."""
    spent: bool = False
    """The worker cannot go on: what it was doing could not be stopped."""


def track_one(job: Job, model: Any, watch: Watch = ignore) -> Outcome:
    """Track one video and keep the result, or say why not; nothing half done is left where results are.

    Args:
        job: The attempt.
        model: A loaded network.
        watch: Asked between frames.
    """
    clock = _Clock()
    try:
        state, counts = _tracked(job, model, watch, clock)
    except Exception as error:
        return _outcome(job, clock, state=_state(error), reason=_reason(error), trace=_trace(error))
    return _outcome(job, clock, state=state, **counts)


def _tracked(job: Job, model: Any, watch: Watch, clock: "_Clock") -> tuple[State, dict[str, int]]:
    row, plan = job.row, job.plan
    store = open_store(plan.out)
    sink = open_sink(store, plan.layout)
    if sink.has(row.key, row.name):
        return "already", {}
    with store.scratch(row.key) as scratch:
        shot = _shot(job, model, scratch, watch, clock)
        config = override(api.track_config(model, plan.preset, plan.quality), [*plan.settings, *row.settings])
        draft = sink.make(Task(model, shot, config, {"key": row.key, "name": row.name}, watch), scratch)
        clock.ends("track")
        kept = sink.keep(draft)
        clock.ends("keep")
    result = draft.result
    return "done" if kept else "already", {"frames": result.frames, "objects": result.objects}


def _shot(job: Job, model: Any, scratch: Path, watch: Watch, clock: "_Clock") -> api.Shot:
    row, plan = job.row, job.plan
    folder = scratch / "input"
    folder.mkdir()
    video = fetched(row.video, folder, watch=watch)
    check_digest(video, row.sha256)
    clock.ends("fetch")
    source = (api.open_source if plan.trusted else api.open_apart)(video, fps=row.fps)
    if row.mask:
        mask = fetched(row.mask, folder, watch=watch)
    else:
        mask = api.discover(model, source, frame=row.mask_frame, watch=watch).mask
    clock.ends("prompt")
    return api.Shot(video=source, masks={row.mask_frame: mask})


class _Clock:
    """How long each stage took."""

    def __init__(self) -> None:
        self._begin = self._last = time.perf_counter()
        self.stages: dict[str, float] = {}

    def ends(self, stage: str) -> None:
        now = time.perf_counter()
        self.stages[stage] = round(now - self._last, 4)
        self._last = now

    def seconds(self) -> float:
        return round(time.perf_counter() - self._begin, 4)


def _outcome(job: Job, clock: _Clock, **facts: Any) -> Outcome:
    return Outcome(
        key=job.row.key,
        name=job.row.name,
        attempt=job.attempt,
        seconds=clock.seconds(),
        stages=clock.stages,
        **facts,
    )


def _state(error: Exception) -> State:
    kinds: tuple[tuple[Any, State], ...] = (
        (Stopped, "stopped"),
        (OutOfSpace, "full"),
        (MemoryError, "memory"),
        ((DataError, UsageError), "refused"),
        (ResourceError, "failed"),
    )
    for kind, state in kinds:
        if isinstance(error, kind):
            return state
    return "memory" if any(words in str(error).lower() for words in _NO_MEMORY) else "failed"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:500]
    known = isinstance(error, DataError | UsageError | ResourceError | Stopped)
    return text if known else f"{type(error).__name__}: {text}"


def _trace(error: Exception) -> str:
    if isinstance(error, DataError | UsageError | ResourceError | Stopped | MemoryError):
        return ""
    return "".join(traceback.format_exception(error))[-20_000:]
