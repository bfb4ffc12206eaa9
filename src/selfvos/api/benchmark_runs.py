"""Through the videos of a benchmark, frame by frame: with one tracker, or with several side by side."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import tee
from pathlib import Path

from selfvos.api.tracking import follow
from selfvos.data.ahead import ahead
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, LabelledVideo
from selfvos.data.mask_folder import MaskFolder
from selfvos.data.points import PointVideo, write_points
from selfvos.data.source import open_source
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.eye import sight
from selfvos.tracking.points import PointTracker
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import MEMORY, MaskTracker, make_tracker, system_name
from selfvos.tracking.tracker import Tracker
from selfvos.types import Frame, nobody


def track_together(
    model: Segmenter,
    benchmark: str,
    configs: Mapping[str, TrackConfig],
    *,
    root: str | Path,
    out: Mapping[str, Path],
    kept: Mapping[str, Collection[str]] | None = None,
    watch: Callable[[str, int, int], None] = nobody,
) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Track a benchmark in several ways at once, doing once what they share: reading, and where settings allow it
    encoding and matching.

    The masks are those that `evaluate` would write for each way alone.

    Args:
        model: A loaded network.
        benchmark: Name of a protocol that follows masks.
        configs: How to track, by name.
        root: Folder of the data set.
        out: For each name the folder below which masks go to ``masks/<video>/<frame>.png``. What an earlier run left
            there is removed first, unless some of it is kept.
        kept: For each name the videos that an earlier run finished in the same way; they are left alone.
        watch: Called with the video, its frames done, and frames in all.

    Yields:
        Each video when it is done, with the seconds that each of its frames took by name: reading, encoding (both
        count in full for every name) and all that the way does itself, writing included.

    Raises:
        UnknownName: No such benchmark.
        DataError: The data set is incomplete.
        UsageError: The benchmark follows points, or the results would replace the true masks.
    """
    videos, kept = BENCHMARKS.get(benchmark)(Path(root)), kept or {}
    if videos.task == "points":
        raise UsageError(f"{benchmark} follows points; only masks can be tracked together")
    total, done = look_ahead(videos), 0
    results = {name: out[name] / "masks" if kept.get(name) else remove_old(videos, out[name]) for name in configs}
    for video in videos.videos:
        names = [name for name in configs if video.name not in kept.get(name, ())]
        times: dict[str, list[float]] = {name: [] for name in names}
        for frame in _in_step(model, {name: configs[name] for name in names}, video, results):
            for name, seconds in frame.items():
                times[name].append(seconds)
            done += 1
            watch(video.name, done, total)
        done += 0 if names else len(_tracked_frames(video))
        yield video.name, times


def look_ahead(benchmark: Benchmark) -> int:
    """Return the number of frames to track; what is missing for it is told now, not after hours."""
    total = 0
    for video in benchmark.videos:
        given = video.points if isinstance(video, PointVideo) else video.given_mask
        _ = video.frames, [given(name) for name in video.given]
        total += len(_tracked_frames(video))
    return total


def _in_step(
    model: Segmenter, configs: Mapping[str, TrackConfig], video: LabelledVideo, results: Mapping[str, Path]
) -> Iterator[dict[str, float]]:
    """Track a video in several ways, frame by frame, and yield the seconds of each."""
    trackers: dict[str, MaskTracker] = {}
    first: dict[object, Tracker] = {}
    for name, config in configs.items():
        if system_name(model, config) == MEMORY:
            trackers[name] = tracker = Tracker(model, config, beside=first.get(sight(config)))
            first.setdefault(sight(config), tracker)
        else:  # systems that look at frames in their own way
            trackers[name] = make_tracker(model, config)
    clock = _SharedTime()
    copies = tee(clock.looking(_frames(video), list(first.values())), max(1, len(trackers)))
    walks = {
        name: follow_masks(tracker, video, results[name], None, frames)
        for (name, tracker), frames in zip(trackers.items(), copies, strict=False)
    }
    for _ in _tracked_frames(video) if walks else ():
        yield {name: clock.time(walk, trackers[name]) for name, walk in walks.items()}
    for walk in walks.values():
        next(walk, None)


class _SharedTime:
    """Tells apart what a frame costs each of several trackers, and what they share of it."""

    def __init__(self) -> None:
        self._looking: dict[object, float] = {}
        self._running = 0.0

    def looking(self, frames: Iterator[Frame], trackers: Sequence[Tracker]) -> Iterator[Frame]:
        """Yield frames that all trackers have seen, so that none of them is the one to pay for it."""
        while True:
            begin = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                return
            read = time.perf_counter() - begin
            self._running = self._looking[None] = read
            for tracker in trackers:
                begin = time.perf_counter()
                tracker.look_ahead(frame.rgb)
                seconds = time.perf_counter() - begin
                self._looking[sight(tracker.config)] = read + seconds
                self._running += seconds
            yield frame

    def time(self, walk: Iterator[None], tracker: MaskTracker) -> float:
        """Let a tracker do one frame; return its own seconds and all of those that it shares."""
        self._running, begin = 0.0, time.perf_counter()
        next(walk)
        own = time.perf_counter() - begin - self._running
        if isinstance(tracker, Tracker):
            return own + self._looking[sight(tracker.config)] + tracker.spared_s
        return own + self._looking[None]


def follow_masks(
    tracker: MaskTracker,
    video: LabelledVideo,
    results: Path,
    overlay: Path | None,
    frames: Iterator[Frame] | None = None,
) -> Iterator[None]:
    """Follow the objects of a video, write the masks that results need, and yield after each frame.

    Args:
        tracker: A new one.
        video: What to track, from its first given mask on.
        results: Masks go to ``<video>/<frame>.png`` below it.
        overlay: A video of the masks, as well.
        frames: The frames to be tracked, where others look at the same; by default they are read here.
    """
    names, required = _tracked_frames(video), set(video.required)
    masks = {names.index(name): video.given_mask(name) for name in video.given}
    with MaskFolder(results / video.name, overlay_video=overlay) as folder:
        for tracked in follow(tracker, frames or _frames(video), masks):
            if tracked.frame.name in required:
                folder.write(tracked)
            yield


def follow_points(tracker: PointTracker, video: PointVideo, results: Path) -> Iterator[None]:
    """Follow the points of a video, yield after each frame, and write ``<video>.csv`` at the end."""
    found = {}
    for frame in _frames(video):
        first = not found
        found[frame.name] = tracker.start(frame.rgb, video.points(frame.name)) if first else tracker.step(frame.rgb)
        yield
    write_points(results / f"{video.name}.csv", found, video.objects)


def _tracked_frames(video: LabelledVideo) -> tuple[str, ...]:
    """Return the names of a video's frames from the first given mask on."""
    return video.frame_names[video.frame_names.index(video.given[0]) :]


def _frames(video: LabelledVideo) -> Iterator[Frame]:
    """Read those frames under the names that their results must carry."""
    tracked = set(_tracked_frames(video))
    pairs = zip((path.stem for path in video.frames), video.frame_names, strict=True)
    wanted = {stem: name for stem, name in pairs if name in tracked}
    for frame in ahead(open_source(video.frames[0].parent)):
        if frame.name in wanted:
            yield replace(frame, name=wanted[frame.name])


def remove_old(benchmark: Benchmark, out: Path) -> Path:
    """Remove what this run will write anew: should it break off, nothing of an earlier one passes for its result.

    Returns:
        The folder that results go to.
    """
    if benchmark.task == "points":
        results = out / "points"
        files = [results / f"{video.name}.csv" for video in benchmark.videos]
    else:
        results = out / "masks"
        files = [results / video.name / f"{frame}.png" for video in benchmark.videos for frame in video.required]
    true = {path.resolve() for video in benchmark.videos for path in video.mask_files.values()}
    if any(path.resolve() in true for path in files):
        raise UsageError(f"{results} holds the true masks, which results would replace; choose another --out")
    names = ["report.json", "report.csv", "report.md", "report.html"]
    names += [f"{kind}_results-{benchmark.subset}.csv" for kind in ("global", "per-sequence")]
    for path in [archive_path(benchmark, out), *(out / name for name in names), *files]:
        path.unlink(missing_ok=True)
    return results


def archive_path(benchmark: Benchmark, out: Path) -> Path:
    """Return where the archive for a benchmark's server goes."""
    return out / f"{benchmark.name}.zip"
