"""How far a batch has come, how fast it goes and when it will be done: as numbers, one line, and for Prometheus."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from selfvos.batch.job import COVERED, Outcome
from selfvos.errors import UsageError

METRICS = "metrics.prom"


@dataclass
class Progress:
    """Counts of one run of a batch."""

    total: int
    """Videos of the manifest."""
    before: int = 0
    """Of them finished or given up by earlier runs."""
    states: Counter[str] = field(default_factory=Counter)
    """Outcomes of attempts."""
    quarantined: int = 0
    retried: int = 0
    frames: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds by stage, of all workers together."""
    peak_mb: float = 0.0
    """Most memory of any worker."""
    busy: int = 0
    """Jobs under way."""
    began: float = field(default_factory=time.monotonic)
    """When the first worker was ready: loading models is no part of the rate."""

    def take(self, outcome: Outcome) -> None:
        """Count an attempt."""
        self.states[outcome.state] += 1
        self.peak_mb = max(self.peak_mb, outcome.peak_mb)
        if outcome.state == "done":
            self.frames += outcome.frames
            for stage, seconds in outcome.stages.items():
                self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    @property
    def covered(self) -> int:
        """Return how many videos this run finished."""
        return sum(self.states[state] for state in COVERED)

    @property
    def settled(self) -> int:
        """Return how many videos need no more work."""
        return self.before + self.covered + self.quarantined

    def seconds(self) -> float:
        """Return how long this run has worked."""
        return max(1e-9, time.monotonic() - self.began)

    def rates(self) -> dict[str, float]:
        """Return videos an hour, frames a second, and seconds that are left (-1 where nobody can tell)."""
        seconds, done = self.seconds(), self.covered + self.quarantined
        left = (self.total - self.settled) * seconds / done if done else -1.0
        return {
            "videos_per_hour": round(3600 * self.covered / seconds, 1),
            "frames_per_second": round(self.frames / seconds, 2),
            "seconds_left": round(left, 1),
        }

    def line(self) -> str:
        """Say everything in one line."""
        rates = self.rates()
        left = "" if rates["seconds_left"] < 0 else f", {_time(rates['seconds_left'])} left"
        lost = f", {self.quarantined} quarantined" if self.quarantined else ""
        again = f", {self.retried} tried again" if self.retried else ""
        return (
            f"{self.settled} of {self.total} videos{lost}{again}; {rates['videos_per_hour']:.0f} videos/h, "
            f"{rates['frames_per_second']:.1f} frames/s{left}"
        )

    def prometheus(self) -> str:
        """Return all numbers in the text format of Prometheus."""
        rates = self.rates()
        gauges = {
            "videos": self.total,
            "videos_settled": self.settled,
            "videos_quarantined": self.quarantined,
            "jobs_running": self.busy,
            "worker_peak_bytes": int(self.peak_mb * 2**20),
            **rates,
        }
        counters = {"frames_total": self.frames, "retries_total": self.retried, "run_seconds_total": self.seconds()}
        lines = [_metric(name, "gauge", {"": value}) for name, value in gauges.items()]
        lines += [_metric(name, "counter", {"": value}) for name, value in counters.items()]
        attempts = {f'{{state="{state}"}}': count for state, count in sorted(self.states.items())}
        stages = {f'{{stage="{stage}"}}': seconds for stage, seconds in sorted(self.stages.items())}
        lines += [_metric("attempts_total", "counter", attempts), _metric("stage_seconds_total", "counter", stages)]
        return "".join(lines)


@contextmanager
def serving(port: int | None, text: Callable[[], str]) -> Iterator[int | None]:
    """Answer GET /metrics on a port of this machine while the block runs; 0 takes any that is free.

    Raises:
        UsageError: The port is taken.
    """
    if port is None:
        yield None
        return

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in {"/metrics", "/"}:
                self.send_error(404)
                return
            body = text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: a scrape every few seconds is no news."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    except (OSError, OverflowError) as error:
        raise UsageError(f"metrics cannot be served on port {port}: {error}; choose another") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _metric(name: str, kind: str, values: Mapping[str, float | int]) -> str:
    full = f"selfvos_batch_{name}"
    return f"# TYPE {full} {kind}\n" + "".join(f"{full}{label} {value:.10g}\n" for label, value in values.items())


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
