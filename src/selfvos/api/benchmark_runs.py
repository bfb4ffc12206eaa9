"""Through the videos of a benchmark, frame by frame: with one tracker, or with several side by side."""

import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import tee
from pathlib import Path

import torch

from selfvos.api.tasks.base import Task, task_of
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, LabelledVideo, read_tracked
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.encoding import FeatureCache, Made
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import MaskTracker, make_tracker
from selfvos.types import Frame, Watch, go_on, ignore


@dataclass(frozen=True, kw_only=True)
class BenchmarkRun:
    """One way of tracking a benchmark, beside others."""

    config: TrackConfig
    """How to track."""
    out: Path
    """Masks go to ``masks/<video>/<frame>.png`` below it."""
    kept: Collection[str] = ()
    """Videos that an earlier run finished in the same way; they are left alone."""


def track_together(
    model: Segmenter,
    benchmark: str,
    runs: Mapping[str, BenchmarkRun],
    *,
    root: str | Path,
    watch: Watch = ignore,
) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Track a benchmark in several ways at once, doing once what they share: reading, and where settings allow it
    encoding and matching.

    The masks are those that `evaluate` would write for each way alone.

    Args:
        model: A loaded network.
        benchmark: Name of a protocol that follows masks.
        runs: The ways, by name. What earlier runs left in their folders is removed first, unless some of it is kept.
        root: Folder of the data set.
        watch: Told how many frames are done, video by video; asked between frames.

    Yields:
        Each video when it is done, with the seconds that each of its frames took by name: reading, encoding (both
        count in full for every name) and all that the way does itself, writing included.

    Raises:
        UnknownName: No such benchmark.
        DataError: The data set is incomplete.
        UsageError: The benchmark follows points, or the results would replace the true masks.
        Stopped: The watch asked for it; videos that were yielded are complete.
    """
    videos = BENCHMARKS.get(benchmark)(Path(root))
    task = task_of(videos)
    if not task.side_by_side:
        raise UsageError(f"{benchmark} follows {videos.task}; only masks can be tracked together")
    total, done = require_whole(videos), 0
    for run in runs.values():
        if not run.kept:
            remove_old(videos, run.out)
    for video in videos.videos:
        names = [name for name, run in runs.items() if video.name not in run.kept]
        times: dict[str, list[float]] = {name: [] for name in names}
        for frame in _in_step(model, {name: runs[name] for name in names}, video, task):
            for name, seconds in frame.items():
                times[name].append(seconds)
            done += 1
            watch.tell(video.name, done, total)
            go_on(watch)
        done += 0 if names else len(video.tracked)
        yield video.name, times


def require_whole(benchmark: Benchmark) -> int:
    """Return the number of frames to track; what is missing for it is told now, not after hours.

    Raises:
        DataError: A picture or something given is missing.
    """
    task, total = task_of(benchmark), 0
    for video in benchmark.videos:
        _ = video.frames
        task.require_given(video)
        total += len(video.tracked)
    return total


def _in_step(
    model: Segmenter, runs: Mapping[str, BenchmarkRun], video: LabelledVideo, task: Task[MaskTracker]
) -> Iterator[dict[str, float]]:
    """Track a video in several ways, frame by frame, and yield the seconds of each."""
    stages = {stage for run in runs.values() for stage in run.config.feature.stages}
    cache, reading = _TimedCache(stages), _TimedReading(read_tracked(video))
    # Whoever looks at later frames before their turn is not in step, and shares nothing.
    alone = {name for name, run in runs.items() if run.config.smooth}
    trackers = {name: make_tracker(model, run.config, None if name in alone else cache) for name, run in runs.items()}
    copies = tee(reading, max(1, len(trackers)))
    walks = {
        name: task.follow(tracker, video, runs[name].out / task.folder, None if name in alone else frames)
        for (name, tracker), frames in zip(trackers.items(), copies, strict=False)
    }

    def seconds(name: str, walk: Iterator[None]) -> float:
        begin, cache.spared_s, read_s = time.perf_counter(), 0.0, 0.0 if name in alone else reading.last_s
        next(walk)
        return time.perf_counter() - begin + cache.spared_s + read_s

    for _ in video.tracked if walks else ():
        reading.last_s = 0.0
        yield {name: seconds(name, walk) for name, walk in walks.items()}
    for walk in walks.values():
        next(walk, None)


class _TimedReading:
    """Reads frames, and knows how long those wait for one who get it without waiting."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self.last_s = 0.0
        """What reading the latest frame took, once it has been read."""
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        while True:
            begin = time.perf_counter()
            frame = next(self._frames, None)
            if frame is None:
                return
            self.last_s = time.perf_counter() - begin
            yield frame


class _TimedCache(FeatureCache):
    """Knows how long everything took to make that it lends, so that it counts in full for all that ask for it."""

    def __init__(self, stages: Collection[str] | None = None) -> None:
        super().__init__(stages)
        self.spared_s = 0.0
        """Seconds that were spared to whoever asked, since someone set this to 0."""
        self._seconds: dict[tuple[int, Hashable], float] = {}

    def once(self, number: int, known: Hashable, make: Callable[[], Made]) -> Made:
        """See `FeatureCache.once`."""
        made_s = 0.0

        def timed() -> Made:
            nonlocal made_s
            begin, before = time.perf_counter(), self.spared_s
            made = make()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            made_s = time.perf_counter() - begin + self.spared_s - before
            return made

        found = super().once(number, known, timed)
        if made_s:
            self._seconds = {key: s for key, s in self._seconds.items() if key[0] == number} | {(number, known): made_s}
        else:
            self.spared_s += self._seconds.get((number, known), 0.0)
        return found


def remove_old(benchmark: Benchmark, out: Path) -> None:
    """Remove what this run will write anew: should it break off, nothing of an earlier one passes for its result.

    Raises:
        UsageError: The results would replace the true masks.
    """
    results = results_folder(benchmark, out)
    files = [results / path for video in benchmark.videos for path in task_of(benchmark).files(video)]
    true = {path.resolve() for video in benchmark.videos for path in video.mask_files.values()}
    if any(path.resolve() in true for path in files):
        raise UsageError(f"{results} holds the true masks, which results would replace; choose another --out")
    names = ["report.json", "report.csv", "report.md", "report.html", "tracked.json"]
    names += [f"{kind}_results-{benchmark.subset}.csv" for kind in ("global", "per-sequence")]
    for path in [archive_path(benchmark, out), *(out / name for name in names), *files]:
        path.unlink(missing_ok=True)


def results_folder(benchmark: Benchmark, out: Path) -> Path:
    """Return the folder that results of all videos go to."""
    return out / task_of(benchmark).folder


def archive_path(benchmark: Benchmark, out: Path) -> Path:
    """Return where the archive for a benchmark's server goes."""
    return out / f"{benchmark.name}.zip"
