"""Masks scored: our own tracker's, or anyone's."""

import importlib.metadata
import json
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from selfvos.api.benchmark_runs import archive_path, follow_masks, follow_points, look_ahead, remove_old
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark
from selfvos.data.points import PointVideo
from selfvos.data.submissions import Archive, pack
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
from selfvos.ops.matching import MatchConfig
from selfvos.settings import from_dict, merged, to_dict
from selfvos.storage import write_text
from selfvos.tracking.points import PointTracker
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import make_tracker, recommended
from selfvos.types import Progress, nobody

_SUPERVISION = "supervision"


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
    total = look_ahead(videos)
    results = remove_old(videos, out)
    done, precision, supervision = 0, "", ""
    for video in videos.videos:
        overlay = out / "overlays" / f"{video.name}.mp4" if overlays else None
        if isinstance(video, PointVideo):
            tracker = PointTracker(model, config)
            steps = follow_points(tracker, video, results)
        else:
            tracker = make_tracker(model, config)
            supervision = tracker.supervision
            steps = follow_masks(tracker, video, results, overlay)
        precision = tracker.precision
        for _ in steps:
            done += 1
            watch(video.name, done, total)
    settings = {
        "weights": digest(model.state_dict()),
        **flat_settings(config, supervision),
        "track.precision": precision,
    }
    if not videos.scored_here:
        return _archive(videos, out, settings, lambda done, total: watch("packing", done, total or 0))
    report = _report(videos, Path(root), results, settings, _telling(watch, "scoring"))
    report = replace(report, note=_join(supervision, report.note))
    _write(report, videos, results, out)
    return report


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
            the last part of their path, or by more where that does not tell them apart. Those of a supervised system
            that `evaluate` ran are marked.
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
    folders = {_marked_name(name, folder): folder for name, folder in folders.items()}
    reports = {name: _report(videos, Path(root), folder, {}, _telling(watch, name)) for name, folder in folders.items()}
    comparison = compare(reports)
    if out is not None:
        pictures = take_pictures(videos, folders, reports, frames_apart(comparison))
        comparison.write(out)
        write_text(Path(out) / "comparison.html", comparison_page(comparison, pictures))
    return comparison


def _named(folders: list[Path]) -> dict[str, Path]:
    return dict(zip(unique_names(folders), folders, strict=True))


def _protocol_config(model: Segmenter, benchmark: Benchmark) -> TrackConfig:
    usual = recommended(model)
    # Protocols say how many of the best matches count: what mixes whole windows has nothing like it.
    fits = benchmark.track if isinstance(usual.match, MatchConfig) else {**benchmark.track, "match": {}}
    return from_dict(TrackConfig, merged(to_dict(usual), fits))


def _archive(benchmark: Benchmark, out: Path, settings: dict[str, str | float], progress: Progress) -> Archive:
    archive = pack(out / "masks", benchmark, archive_path(benchmark, out), progress=progress)
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
        return f"{name} (supervised)" if "supervised" in report["provenance"][_SUPERVISION] else name
    except (OSError, ValueError, KeyError, TypeError):
        # Results of another program: nobody marked them.
        return name


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
            # JSON has no infinity, which lifts the window of matching.
            flat[f"{prefix}.{name}"] = value if isinstance(value, float) and math.isfinite(value) else str(value)
    return flat
