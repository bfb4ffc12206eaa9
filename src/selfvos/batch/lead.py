"""The process that leads a batch: what is to be done, who does it, what is tried again and what is given up."""

import hashlib
import heapq
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfvos.batch.job import COVERED, WORTH_ANOTHER, Job, Outcome, Plan
from selfvos.batch.ledger import Ledger
from selfvos.batch.manifest import Defaults, Row, is_url, read_manifest
from selfvos.batch.pool import Pool
from selfvos.batch.progress import METRICS, Progress, serving
from selfvos.batch.quarantine import isolate, isolated
from selfvos.batch.sink import Sink, open_sink
from selfvos.batch.store import Store, open_store
from selfvos.errors import DataError, OutOfSpace, SelfvosError, UsageError
from selfvos.storage import exclusive, sha256, write_text
from selfvos.types import Watch, go_on, ignore

ABOUT = "batch.json"
_FORMAT = 1
_EVERY_S = 0.5
_METRICS_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How a batch is led."""

    retries: int = 2
    """Further attempts at a video whose failure may have been chance."""
    backoff_s: float = 5.0
    """Wait before the first further attempt; each later one waits twice as long."""
    metrics_port: int | None = None
    """Where numbers are served; None: they are only in the file."""

    def __post_init__(self) -> None:
        if self.retries < 0 or self.backoff_s < 0:
            raise UsageError(f"retries and backoff must be at least 0, got {self.retries} and {self.backoff_s}")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run of a batch came to."""

    total: int
    """Videos of the manifest."""
    done: int
    """Finished, by this run or before."""
    quarantined: int
    """Given up, by this run or before."""
    attempts: int
    """Of this run."""
    states: dict[str, int]
    """Outcomes of those attempts."""
    frames: int
    """Tracked by this run."""
    seconds: float
    """From the first model loaded to the end."""
    rates: dict[str, float]
    stages: dict[str, float]
    """Seconds by stage, of all workers together."""
    peak_mb: float
    """Most memory of any worker."""
    out: str

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    def table(self) -> str:
        """Say it in a line or two."""
        first = (
            f"{self.done} of {self.total} videos are in {self.out}; this run tracked {self.frames} frames in "
            f"{self.seconds:.1f} s ({self.rates['videos_per_hour']:.0f} videos/h, "
            f"{self.rates['frames_per_second']:.1f} frames/s)"
        )
        if not self.quarantined:
            return first
        return f"{first}\n{self.quarantined} videos are left alone; the reasons are in {self.out}/quarantine"


def lead(
    manifest: Path,
    plan: Plan,
    engine: Callable[[], Pool],
    *,
    defaults: Defaults | None = None,
    policy: Policy | None = None,
    watch: Watch = ignore,
) -> Summary:
    """Track all videos of a manifest that are neither finished nor given up.

    Whatever is killed on the way, the same call goes on: a video counts when its whole result has got its name.

    Args:
        manifest: The rows.
        plan: What all videos have in common; it must be that of earlier runs into the same place.
        engine: Starts the workers, once all has been looked at.
        defaults: What rows that do not say so themselves get.
        policy: How often and after how long a video is tried again.
        watch: Told of videos with how fast they go; asked all the time.

    Raises:
        UsageError: Another batch is in the same place or works on it.
        DataError: The manifest cannot be used; or a row was changed after its video was tracked.
        OutOfSpace: There is no room for results; what was finished is kept.
        Stopped: The watch asked; what was finished is kept.
    """
    store, state = open_store(plan.out), state_folder(plan.out)
    with ExitStack() as stack:
        stack.enter_context(exclusive(state))
        _agree(state, plan)
        store.tidy()
        sink = open_sink(store, plan.layout)
        sink.gather(everything=True)
        look = _look(manifest, defaults, sink, store)
        ledger = stack.enter_context(Ledger(state))
        progress = Progress(total=look.total, before=look.done + look.quarantined)
        # The port is opened before the workers are: what is wrong with it is told before minutes are spent.
        stack.enter_context(serving(policy.metrics_port if policy else None, progress.prometheus))
        run = _Run(store, sink, ledger, progress, policy or Policy(), watch)
        rows = (row for row in read_manifest(manifest, defaults) if row.key not in look.settled)
        if look.total > progress.before:
            run.go(rows, plan, stack.enter_context(engine()), state)
        sink.gather(everything=True)
        ledger.note("end", **progress.rates())
        write_text(state / METRICS, progress.prometheus())
    return run.summary(plan, look)


def state_folder(out: str) -> Path:
    """Return where the log and the numbers of a batch lie: with its results, or here where those go to a URL."""
    return Path(f"selfvos-batch-{hashlib.sha256(out.encode()).hexdigest()[:8]}") if is_url(out) else Path(out)


class _Run:
    """One run of a batch, under way."""

    def __init__(
        self, store: Store, sink: Sink, ledger: Ledger, progress: Progress, policy: Policy, watch: Watch
    ) -> None:
        self._store, self._sink, self._ledger = store, sink, ledger
        self._progress, self._policy, self._watch = progress, policy, watch
        self._waiting: list[tuple[float, str, Job]] = []
        """Further attempts, by when they are due."""
        self._rows: dict[str, Row] = {}
        """Rows that are under way or wait."""
        self._written = 0.0
        self._finished_more = False
        """Whether a result came since the sink was last told to tidy up."""

    def go(self, rows: Iterator[Row], plan: Plan, pool: Pool, state: Path) -> None:
        """Do everything.

        Raises:
            SelfvosError: As `lead`; videos that were under way are noted as stopped: it was no fault of theirs.
        """
        try:
            self._go(rows, plan, pool, state)
        except SelfvosError:
            for job in pool.jobs():
                row = job.row
                self._ledger.ended(Outcome(key=row.key, name=row.name, state="stopped", attempt=job.attempt))
            raise

    def _go(self, rows: Iterator[Row], plan: Plan, pool: Pool, state: Path) -> None:
        self._ledger.note("begin", plan=asdict(plan), videos=self._progress.total, settled=self._progress.before)
        more = True
        while more or pool.jobs() or self._waiting:
            go_on(self._watch)
            while pool.free() and (job := self._next(rows, plan)) is not None:
                if not pool.jobs() and not self._progress.states:
                    self._progress.began = time.monotonic()
                self._ledger.started(job)
                pool.submit(job)
            if self._finished_more:  # now, while workers have something to do
                self._finished_more = False
                self._sink.gather(everything=False)
            more = pool.free() is False
            ended = pool.wait(_EVERY_S)
            for outcome in ended:  # all are noted, also where one of them stops the batch
                self._ledger.ended(outcome)
            for outcome in ended:
                self._take(outcome, plan)
            self._progress.busy = len(pool.jobs())
            self._tell(state)

    def _next(self, rows: Iterator[Row], plan: Plan) -> Job | None:
        """Return what to do now: an attempt that is due, else the next row."""
        if self._waiting and self._waiting[0][0] <= time.monotonic():
            return heapq.heappop(self._waiting)[2]
        for row in rows:
            tried = self._ledger.tried[row.key]
            if tried > self._policy.retries:
                self._give_up(row, _too_often(row, tried))
                continue
            self._rows[row.key] = row
            return Job(row, plan, attempt=tried + 1)
        return None

    def _take(self, outcome: Outcome, plan: Plan) -> None:
        self._progress.take(outcome)
        row = self._rows[outcome.key]
        if outcome.state == "full":
            raise OutOfSpace(f"{outcome.reason}; {row.name} and what follows is left for the same command again")
        if outcome.state in WORTH_ANOTHER and outcome.attempt <= self._policy.retries:
            due = time.monotonic() + self._policy.backoff_s * 2 ** (outcome.attempt - 1)
            heapq.heappush(self._waiting, (due, row.key, Job(row, plan, attempt=outcome.attempt + 1)))
            self._progress.retried += 1
            return
        del self._rows[outcome.key]
        if outcome.state in COVERED:
            self._finished_more = True
        else:
            self._give_up(row, outcome)

    def _give_up(self, row: Row, outcome: Outcome) -> None:
        isolate(self._store, row, outcome)
        self._ledger.note("quarantined", key=row.key, name=row.name, state=outcome.state, reason=outcome.reason)
        self._progress.quarantined += 1

    def _tell(self, state: Path) -> None:
        progress = self._progress
        self._watch.tell(progress.line(), progress.settled, progress.total, **progress.rates())
        if time.monotonic() - self._written > _METRICS_EVERY_S:
            self._written = time.monotonic()
            write_text(state / METRICS, progress.prometheus())

    def summary(self, plan: Plan, before: "_Look") -> Summary:
        """Return what it came to."""
        progress = self._progress
        return Summary(
            total=progress.total,
            done=before.done + progress.covered,
            quarantined=before.quarantined + progress.quarantined,
            attempts=progress.states.total(),
            states=dict(progress.states),
            frames=progress.frames,
            seconds=round(progress.seconds(), 2),
            rates=progress.rates(),
            stages={stage: round(seconds, 2) for stage, seconds in progress.stages.items()},
            peak_mb=progress.peak_mb,
            out=plan.out,
        )


@dataclass(frozen=True)
class _Look:
    """What there is before a run."""

    total: int
    done: int
    quarantined: int
    settled: frozenset[str]
    """Keys of all that needs no more work, of this manifest or another."""


def _look(manifest: Path, defaults: Defaults | None, sink: Sink, store: Store) -> _Look:
    """Read the whole manifest, so that what is wrong in its last row is told now, and hold it against the results."""
    finished = {stored.result.name: stored.result.key for stored in sink.finished()}
    left_alone = isolated(store).keys()
    keys = frozenset(finished.values())
    counts = Counter[str]()
    for row in read_manifest(manifest, defaults):
        if finished.get(row.name, row.key) != row.key:
            raise DataError(
                f"{manifest}: the row of {row.name} was changed since its video was tracked; choose another --out"
            )
        counts["done" if row.key in keys else "quarantined" if row.key in left_alone else "open"] += 1
    if not counts:
        raise DataError(f"{manifest} has no row; write one for each video")
    return _Look(counts.total(), counts["done"], counts["quarantined"], keys.union(left_alone))


def _agree(state: Path, plan: Plan) -> None:
    """Make sure that one place holds results of one way to track.

    Raises:
        UsageError: It holds those of another.
    """
    ours = {
        "product": "selfvos",
        "format": _FORMAT,
        "layout": plan.layout,
        "weights": plan.weights,
        "weights_file": sha256(plan.weights) if Path(plan.weights).is_file() else "",
        "preset": plan.preset,
        "quality": plan.quality,
        "settings": list(plan.settings),
    }
    try:
        theirs = json.loads((state / ABOUT).read_text("utf-8"))
    except FileNotFoundError:
        write_text(state / ABOUT, json.dumps(ours, indent=1) + "\n")
        return
    except ValueError as error:
        raise UsageError(f"{state / ABOUT} is damaged; remove it if the batch there is yours") from error
    other = [name for name, value in ours.items() if not isinstance(theirs, dict) or theirs.get(name) != value]
    if other:
        raise UsageError(f"{state} holds a batch with another {other[0]}; choose another --out")


def _too_often(row: Row, tried: int) -> Outcome:
    reason = f"was begun {tried} times, and the batch itself ended each time"
    return Outcome(key=row.key, name=row.name, state="lost", attempt=tried, reason=reason)
