"""Masks scored: our own tracker's, or anyone's."""

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from selfvos.api.benchmark_runs import archive_path, remove_old, require_whole, results_folder
from selfvos.api.tasks.base import task_of
from selfvos.api.tracked_videos import TrackedVideos, asked_of
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark
from selfvos.data.submissions import Archive, pack
from selfvos.evaluation.attributes import read_attributes
from selfvos.evaluation.comparison import Comparison, compare, unique_names
from selfvos.evaluation.page import comparison_page, report_page
from selfvos.evaluation.pictures import frames_apart, worst_frames
from selfvos.evaluation.report import Report
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.ops.matching import MatchConfig
from selfvos.settings import from_dict, merged, to_dict
from selfvos.stopping import advising
from selfvos.storage import write_text
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import quality_config, recommended
from selfvos.types import Watch, go_on, ignore, renamed

_SUPERVISION = "supervision"
_SCORE_AGAIN = "no scores were written; run the same command again"


def evaluate(
    model: Segmenter,
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path,
    config: TrackConfig | None = None,
    watch: Watch = ignore,
) -> Report | Archive:
    """Track every video of a benchmark, write the masks, and score them or pack them for the server that does.

    Args:
        model: A loaded network.
        benchmark: Name of the protocol, such as ``davis-2016-val``.
        root: Folder of the data set.
        out: Masks go to ``masks/<video>/<frame>.png`` below it, or points to ``points/<video>.csv``; tables,
            ``report.json`` and, where a server takes one, ``<benchmark>.zip`` beside. What an earlier run left there
            under these names is removed first; but one that was stopped, and was asked the same, goes on after the
            last video that it finished.
        config: How to track; by default as `protocol_config` says.
        watch: Told how many frames are done, video by video; asked between frames.

    Returns:
        The scores; where only the official server has the true masks, the validated archive to submit there.

    Raises:
        UnknownName: No such benchmark.
        DataError: The data set is incomplete.
        UsageError: The results would replace the true masks.
        Stopped: The watch asked for it; what was tracked is kept, and the same call goes on.
    """
    videos, out = BENCHMARKS.get(benchmark)(Path(root)), Path(out)
    config = config or _protocol_config(model, videos)
    weights = digest(model.state_dict())
    finished = TrackedVideos(out, asked_of(weights, benchmark, Path(root), config))
    known = _track_videos(model, config, videos, out, finished, watch)
    supervision = known.get(_SUPERVISION, "")
    settings: dict[str, str | float] = {
        "weights": weights,
        **flat_settings(config, supervision),
        "track.precision": known["precision"],
    }
    with advising("all videos are tracked; run the same command again to go on with their scores"):
        if not videos.scored_here:
            result: Report | Archive = _archive(videos, out, settings, watch)
        else:
            report = _report(videos, Path(root), results_folder(videos, out), settings, watch)
            result = replace(report, note=_join(supervision, report.note))
            _write(result, videos, results_folder(videos, out), out)
    finished.remove()
    return result


def _track_videos(
    model: Segmenter, config: TrackConfig, benchmark: Benchmark, out: Path, finished: TrackedVideos, watch: Watch
) -> dict[str, str]:
    """Track what is not tracked yet, and return what a report says of the tracker."""
    task, done, total = task_of(benchmark), 0, require_whole(benchmark)
    if not finished.seconds:
        remove_old(benchmark, out)
    count = len(benchmark.videos)
    for number, video in enumerate(benchmark.videos):
        if video.name in finished.seconds:
            done += len(video.tracked)
            continue
        left = f"{number} of {count} videos are tracked and kept; run the same command again to go on after them"
        with advising(left):
            for _ in task.follow(task.tracker(model, config), video, results_folder(benchmark, out)):
                done += 1
                watch.tell(video.name, done, total)
                go_on(watch)
        finished.add(video.name)
    return task.provenance(task.tracker(model, config))


def protocol_config(model: Segmenter, benchmark: str, *, root: str | Path, quality: str | None = None) -> TrackConfig:
    """Return how a benchmark is tracked: as the weights recommend, but for what its protocol lays down.

    Args:
        model: A loaded network.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        quality: What the weights recommend for this quality.

    Raises:
        UnknownName: No such benchmark.
        DataError: The data set is incomplete.
        UsageError: The weights know no such quality.
    """
    return _protocol_config(model, BENCHMARKS.get(benchmark)(Path(root)), quality)


def flat_settings(config: TrackConfig, supervision: str = "") -> dict[str, str | float]:
    """Return settings of the tracker as a report lists them, one line each, and what its results are marked with."""
    return {**({_SUPERVISION: supervision} if supervision else {}), **_flat(to_dict(config))}


def score(
    results: str | Path,
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path | None = None,
    settings: Mapping[str, str | float] | None = None,
    watch: Watch = ignore,
) -> Report:
    """Score masks that any method wrote as ``<results>/<video>/<frame>.png``, or points as ``<results>/<video>.csv``.

    Args:
        results: Folder of the masks, or of tables with the columns frame, joint, x and y.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: Where tables, ``report.json`` and the page ``report.html`` go; None writes nothing.
        settings: What the masks were made with, where that is known; the report keeps it.
        watch: Told how many frames are scored; see `Watch`.

    Raises:
        UnknownName: No such benchmark.
        DataError: A mask is missing, of another size, or has an id that is not in the benchmark.
        Stopped: The watch asked for it; nothing was written.
    """
    videos, results = BENCHMARKS.get(benchmark)(Path(root)), Path(results)
    with advising(_SCORE_AGAIN):
        report = _report(videos, Path(root), results, dict(settings or {}), watch)
    if out is not None:
        _write(report, videos, results, Path(out))
    return report


def score_together(
    results: Sequence[str | Path] | Mapping[str, Path],
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path | None = None,
    watch: Watch = ignore,
) -> Comparison:
    """Score the masks of several methods, and set them against those of the first.

    Args:
        results: Folders of the masks, at least two, by name or in a list; see `score`. Those of a list are named by
            the last part of their path, or by more where that does not tell them apart. Those of a supervised system
            that `evaluate` ran are marked.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: Where ``comparison.md``, ``.csv``, ``.json`` and ``.html`` go; None writes nothing.
        watch: Told how many frames of each result are scored; see `Watch`.

    Raises:
        UnknownName: No such benchmark.
        DataError: As `score`.
        UsageError: A folder is given twice, or there is only one.
        Stopped: The watch asked for it; nothing was written.
    """
    videos = BENCHMARKS.get(benchmark)(Path(root))
    folders = dict(results) if isinstance(results, Mapping) else _named([Path(folder) for folder in results])
    folders = {_marked_name(name, folder): folder for name, folder in folders.items()}
    with advising(_SCORE_AGAIN):
        reports = {
            name: _report(videos, Path(root), folder, {}, renamed(watch, name)) for name, folder in folders.items()
        }
    comparison = compare(reports)
    if out is not None:
        pictures = task_of(videos).pictures(videos, folders, reports, frames_apart(comparison))
        comparison.write(out)
        write_text(Path(out) / "comparison.html", comparison_page(comparison, pictures))
    return comparison


def _named(folders: list[Path]) -> dict[str, Path]:
    return dict(zip(unique_names(folders), folders, strict=True))


def _protocol_config(model: Segmenter, benchmark: Benchmark, quality: str | None = None) -> TrackConfig:
    usual = recommended(model) if quality is None else quality_config(model, quality)
    # Protocols say how many of the best matches count: what mixes whole windows has nothing like it.
    fits = benchmark.track if isinstance(usual.match, MatchConfig) else {**benchmark.track, "match": {}}
    return from_dict(TrackConfig, merged(to_dict(usual), fits))


def _archive(benchmark: Benchmark, out: Path, settings: dict[str, str | float], watch: Watch) -> Archive:
    archive = pack(results_folder(benchmark, out), benchmark, archive_path(benchmark, out), watch=watch)
    archive = replace(archive, note=_join(str(settings.get(_SUPERVISION, "")), archive.note))
    content = {**archive.to_dict(), "provenance": _provenance(settings)}
    write_text(out / "report.json", json.dumps(content, indent=1) + "\n")
    return archive


def _join(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _marked_name(name: str, results: Path) -> str:
    """Return the name of a result, marked where the report that `evaluate` wrote beside it is."""
    try:
        report = json.loads((results.parent / "report.json").read_text(encoding="utf-8"))
        return f"{name} (supervised)" if report["provenance"].get(_SUPERVISION) else name
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Results of another program: nobody marked them.
        return name


def _provenance(settings: dict[str, str | float]) -> dict[str, str | float]:
    versions = {name: importlib.metadata.version(name) for name in ("selfvos", "torch", "numpy")}
    return {**settings, **versions, "python": platform.python_version(), "machine": platform.machine()}


def _report(benchmark: Benchmark, root: Path, results: Path, settings: dict[str, str | float], watch: Watch) -> Report:
    report = task_of(benchmark).score(benchmark, results, _provenance(settings), watch)
    return report.with_attributes(_attributes(benchmark, root))


def _attributes(benchmark: Benchmark, root: Path) -> dict[str, tuple[str, ...]]:
    """Return the attributes that the data set and the protocol give each video."""
    found = read_attributes(root)
    return {
        name: (*found.get(name, ()), *benchmark.attributes.get(name, ())) for name in {*found, *benchmark.attributes}
    }


def _write(report: Report, benchmark: Benchmark, results: Path, out: Path) -> None:
    task = task_of(benchmark)
    pictures = task.pictures(benchmark, {"result": results}, {"result": report}, worst_frames(report))
    report.write(out)
    write_text(out / "report.html", report_page(report, pictures))


def _flat(settings: Mapping[str, object], prefix: str = "track") -> dict[str, str | float]:
    flat: dict[str, str | float] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}.{name}"))
        else:
            # JSON has no infinity, which lifts the window of matching.
            flat[f"{prefix}.{name}"] = value if isinstance(value, float) and math.isfinite(value) else str(value)
    return flat
