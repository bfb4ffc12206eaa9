"""Masks scored: our own tracker's, or anyone's."""

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import tee
from pathlib import Path
from typing import Any

from selfvos.api.tracking import follow
from selfvos.data.ahead import ahead
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, LabelledVideo
from selfvos.data.points import PointVideo, write_points
from selfvos.data.results import ResultFolder
from selfvos.data.source import open_source
from selfvos.data.submissions import Archive, pack
from selfvos.errors import UsageError
from selfvos.evaluation.attributes import read_attributes
from selfvos.evaluation.comparison import Comparison, compare, unique_names
from selfvos.evaluation.page import comparison_page, report_page
from selfvos.evaluation.parts import score_parts
from selfvos.evaluation.pictures import frames_apart, take_pictures, worst_frames
from selfvos.evaluation.points import score_points
from selfvos.evaluation.protocols import score_results
from selfvos.evaluation.report import Report, data_hash, results_hash, summarise
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.settings import from_dict, to_dict
from selfvos.storage import write_text
from selfvos.tracking.eye import sight
from selfvos.tracking.points import PointTracker
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker, recommended
from selfvos.types import Frame, Progress, nobody


def evaluate(
    model: Segmenter,
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path,
    config: TrackConfig | None = None,
    overlays: bool = False,
    watch: Callable[[str, int, int], None] = nobody,
) -> Report | Archive:
    """Track every video of a benchmark, write the masks, and score them or pack them for the server that does.

    Args:
        model: A loaded network.
        benchmark: Name of the protocol, such as ``davis-2016-val``.
        root: Folder of the data set.
        out: Masks go to ``masks/<video>/<frame>.png`` below it, or points to ``points/<video>.csv``; tables,
            ``report.json`` and, where a server takes one, ``<benchmark>.zip`` beside. What an earlier run left there
            under these names is removed first.
        config: How to track; by default as `protocol_config` says.
        overlays: Also write ``overlays/<video>.mp4``; points have none.
        watch: Called with the video, frames done, and frames in all.

    Returns:
        The scores; where only the official server has the true masks, the validated archive to submit there.

    Raises:
        UnknownName: No such benchmark.
        DataError: The data set is incomplete.
        UsageError: The results would replace the true masks.
    """
    videos = BENCHMARKS.get(benchmark)(Path(root))
    config = config or _protocol_config(model, videos)
    out = Path(out)
    total = _look_ahead(videos)
    results = _remove_old(videos, out)
    done, precision = 0, ""
    for video in videos.videos:
        overlay = out / "overlays" / f"{video.name}.mp4" if overlays else None
        if isinstance(video, PointVideo):
            tracker = PointTracker(model, config)
            steps = _follow_points(tracker, video, results)
        else:
            tracker = Tracker(model, config)
            steps = _follow_masks(tracker, video, results, overlay)
        precision = tracker.precision
        for _ in steps:
            done += 1
            watch(video.name, done, total)
    settings = {"weights": digest(model.state_dict()), **flat_settings(config), "track.precision": precision}
    if not videos.scored_here:
        return _archive(videos, out, settings, lambda done, total: watch("packing", done, total or 0))
    report = _report(videos, Path(root), results, settings, _telling(watch, "scoring"))
    _write(report, videos, results, out)
    return report


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
    """Track a benchmark in several ways at once: each frame is read once, and encoded once where sizes allow.

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
    total, done = _look_ahead(videos), 0
    results = {name: out[name] / "masks" if kept.get(name) else _remove_old(videos, out[name]) for name in configs}
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


def protocol_config(model: Segmenter, benchmark: str, *, root: str | Path) -> TrackConfig:
    """Return how a benchmark is tracked: as the weights recommend, but for what its protocol lays down.

    Args:
        model: A loaded network.
        benchmark: Name of the protocol.
        root: Folder of the data set.

    Raises:
        UnknownName: No such benchmark.
        DataError: The data set is incomplete.
    """
    return _protocol_config(model, BENCHMARKS.get(benchmark)(Path(root)))


def flat_settings(config: TrackConfig) -> dict[str, str | float]:
    """Return settings of the tracker as a report lists them, one line each."""
    return _flat(to_dict(config))


def score(
    results: str | Path,
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path | None = None,
    settings: Mapping[str, str | float] | None = None,
    watch: Callable[[str, int, int], None] = nobody,
) -> Report:
    """Score masks that any method wrote as ``<results>/<video>/<frame>.png``, or points as ``<results>/<video>.csv``.

    Args:
        results: Folder of the masks, or of tables with the columns frame, joint, x and y.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: Where tables, ``report.json`` and the page ``report.html`` go; None writes nothing.
        settings: What the masks were made with, where that is known; the report keeps it.
        watch: Called with what is being done, frames done, and frames in all.

    Raises:
        UnknownName: No such benchmark.
        DataError: A mask is missing, of another size, or has an id that is not in the benchmark.
    """
    videos, results = BENCHMARKS.get(benchmark)(Path(root)), Path(results)
    report = _report(videos, Path(root), results, dict(settings or {}), _telling(watch, "scoring"))
    if out is not None:
        _write(report, videos, results, Path(out))
    return report


def score_together(
    results: Sequence[str | Path] | Mapping[str, Path],
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path | None = None,
    watch: Callable[[str, int, int], None] = nobody,
) -> Comparison:
    """Score the masks of several methods, and set them against those of the first.

    Args:
        results: Folders of the masks, at least two, by name or in a list; see `score`. Those of a list are named by
            the last part of their path, or by more where that does not tell them apart.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: Where ``comparison.md``, ``.csv``, ``.json`` and ``.html`` go; None writes nothing.
        watch: Called with the name of a result, frames done, and frames in all.

    Raises:
        UnknownName: No such benchmark.
        DataError: As `score`.
        UsageError: A folder is given twice, or there is only one.
    """
    videos = BENCHMARKS.get(benchmark)(Path(root))
    folders = dict(results) if isinstance(results, Mapping) else _named([Path(folder) for folder in results])
    reports = {name: _report(videos, Path(root), folder, {}, _telling(watch, name)) for name, folder in folders.items()}
    comparison = compare(reports)
    if out is not None:
        pictures = take_pictures(videos, folders, reports, frames_apart(comparison))
        comparison.write(out)
        write_text(Path(out) / "comparison.html", comparison_page(comparison, pictures))
    return comparison


def _named(folders: list[Path]) -> dict[str, Path]:
    return dict(zip(unique_names(folders), folders, strict=True))


def _look_ahead(benchmark: Benchmark) -> int:
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
    trackers: dict[str, Tracker] = {}
    first: dict[object, Tracker] = {}
    for name, config in configs.items():
        trackers[name] = Tracker(model, config, beside=first.get(sight(config)))
        first.setdefault(sight(config), trackers[name])
    clock = _SharedTime()
    copies = tee(clock.looking(_frames(video), list(first.values())), max(1, len(trackers)))
    walks = {
        name: _follow_masks(tracker, video, results[name], None, frames)
        for (name, tracker), frames in zip(trackers.items(), copies, strict=False)
    }
    for _ in _tracked_frames(video) if walks else ():
        yield {name: clock.time(walk, sight(configs[name])) for name, walk in walks.items()}
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
            self._running = read
            for tracker in trackers:
                begin = time.perf_counter()
                tracker.look_ahead(frame.rgb)
                seconds = time.perf_counter() - begin
                self._looking[sight(tracker.config)] = read + seconds
                self._running += seconds
            yield frame

    def time(self, walk: Iterator[None], of: object) -> float:
        """Let a tracker do one frame; return its own seconds and all of those that it shares."""
        self._running, begin = 0.0, time.perf_counter()
        next(walk)
        own = time.perf_counter() - begin - self._running
        return own + self._looking[of]


def _follow_masks(
    tracker: Tracker, video: LabelledVideo, results: Path, overlay: Path | None, frames: Iterator[Frame] | None = None
) -> Iterator[None]:
    names, required = _tracked_frames(video), set(video.required)
    masks = {names.index(name): video.given_mask(name) for name in video.given}
    with ResultFolder(results / video.name, overlay_video=overlay) as folder:
        for tracked in follow(tracker, frames or _frames(video), masks):
            if tracked.frame.name in required:
                folder.write(tracked)
            yield


def _follow_points(tracker: PointTracker, video: PointVideo, results: Path) -> Iterator[None]:
    found = {}
    for frame in _frames(video):
        first = not found
        found[frame.name] = tracker.start(frame.rgb, video.points(frame.name)) if first else tracker.step(frame.rgb)
        yield
    write_points(results / f"{video.name}.csv", found, video.objects)


def _protocol_config(model: Segmenter, benchmark: Benchmark) -> TrackConfig:
    return from_dict(TrackConfig, _merged(to_dict(recommended(model)), benchmark.track))


def _merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with single leaves replaced."""
    nested = {name: _merged(settings[name], new) for name, new in changes.items() if isinstance(new, Mapping)}
    return {**settings, **changes, **nested}


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


def _remove_old(benchmark: Benchmark, out: Path) -> Path:
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
    for path in [_archive_path(benchmark, out), *(out / name for name in names), *files]:
        path.unlink(missing_ok=True)
    return results


def _archive_path(benchmark: Benchmark, out: Path) -> Path:
    return out / f"{benchmark.name}.zip"


def _archive(benchmark: Benchmark, out: Path, settings: dict[str, str | float], progress: Progress) -> Archive:
    archive = pack(out / "masks", benchmark, _archive_path(benchmark, out), progress=progress)
    content = {**archive.to_dict(), "provenance": _provenance(settings)}
    write_text(out / "report.json", json.dumps(content, indent=1) + "\n")
    return archive


def _provenance(settings: dict[str, str | float]) -> dict[str, str | float]:
    versions = {name: importlib.metadata.version(name) for name in ("selfvos", "torch", "numpy")}
    return {**settings, **versions, "python": platform.python_version(), "machine": platform.machine()}


def _telling(watch: Callable[[str, int, int], None], what: str) -> Progress:
    return lambda done, total: watch(what, done, total or 0)


def _report(
    benchmark: Benchmark, root: Path, results: Path, settings: dict[str, str | float], progress: Progress
) -> Report:
    attributes, provenance = read_attributes(root), _provenance(settings)
    if benchmark.task == "points":
        report = score_points(benchmark, results, provenance, progress=progress)
    elif benchmark.task == "parts":
        report = score_parts(benchmark, results, provenance, progress=progress)
    else:
        series = score_results(benchmark, results, progress=progress)
        hashes = {"data": data_hash(benchmark), "results": results_hash(benchmark, results)}
        report = summarise(benchmark, series, {**hashes, **provenance})
    return report.with_attributes(attributes)


def _write(report: Report, benchmark: Benchmark, results: Path, out: Path) -> None:
    pictures = take_pictures(benchmark, {"result": results}, {"result": report}, worst_frames(report))
    report.write(out)
    write_text(out / "report.html", report_page(report, pictures))


def _flat(settings: Mapping[str, object], prefix: str = "track") -> dict[str, str | float]:
    flat: dict[str, str | float] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}.{name}"))
        else:
            flat[f"{prefix}.{name}"] = value if isinstance(value, float) else str(value)
    return flat
