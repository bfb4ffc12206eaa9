"""Masks scored: our own tracker's, or anyone's."""

import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from selfvos.api.tracking import follow
from selfvos.data.ahead import ahead
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, LabelledVideo
from selfvos.data.results import ResultFolder
from selfvos.data.source import open_source
from selfvos.data.submissions import Archive, pack
from selfvos.errors import UsageError
from selfvos.evaluation.attributes import read_attributes
from selfvos.evaluation.comparison import Comparison, compare, unique_names
from selfvos.evaluation.page import comparison_page, report_page
from selfvos.evaluation.pictures import frames_apart, take_pictures, worst_frames
from selfvos.evaluation.protocols import score_results
from selfvos.evaluation.report import Report, data_hash, results_hash, summarise
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.settings import to_dict
from selfvos.storage import write_text
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
        out: Masks go to ``masks/<video>/<frame>.png`` below it, tables, ``report.json`` and, where a server takes
            one, ``<benchmark>.zip`` beside. What an earlier run left there under these names is removed first.
        config: How to track; by default as the weights recommend.
        overlays: Also write ``overlays/<video>.mp4``.
        watch: Called with the video, frames done, and frames in all.

    Returns:
        The scores; where only the official server has the true masks, the validated archive to submit there.

    Raises:
        UnknownName: No such benchmark.
        DataError: The data set is incomplete.
        UsageError: The results would replace the true masks.
    """
    config = config or recommended(model)
    videos = BENCHMARKS.get(benchmark)(Path(root))
    out = Path(out)
    total = _look_ahead(videos)
    _remove_old(videos, out)
    done, precision = 0, ""
    for video in videos.videos:
        overlay = out / "overlays" / f"{video.name}.mp4" if overlays else None
        tracker = Tracker(model, config)
        precision = tracker.precision
        names, required = _tracked_frames(video), set(video.required)
        masks = {names.index(name): video.given_mask(name) for name in video.given}
        with ResultFolder(out / "masks" / video.name, overlay_video=overlay) as folder:
            for tracked in follow(tracker, _frames(video), masks):
                if tracked.frame.name in required:
                    folder.write(tracked)
                done += 1
                watch(video.name, done, total)
    settings = {"weights": digest(model.state_dict()), **_flat(to_dict(config)), "track.precision": precision}
    if not videos.scored_here:
        return _archive(videos, out, settings, lambda done, total: watch("packing", done, total or 0))
    report = _report(videos, Path(root), out / "masks", settings, _telling(watch, "scoring"))
    _write(report, videos, out / "masks", out)
    return report


def score(
    results: str | Path,
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path | None = None,
    watch: Callable[[str, int, int], None] = nobody,
) -> Report:
    """Score masks that any method wrote as ``<results>/<video>/<frame>.png``.

    Args:
        results: Folder of the masks.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: Where tables, ``report.json`` and the page ``report.html`` go; None writes nothing.
        watch: Called with what is being done, frames done, and frames in all.

    Raises:
        UnknownName: No such benchmark.
        DataError: A mask is missing, of another size, or has an id that is not in the benchmark.
    """
    videos, results = BENCHMARKS.get(benchmark)(Path(root)), Path(results)
    report = _report(videos, Path(root), results, {}, _telling(watch, "scoring"))
    if out is not None:
        _write(report, videos, results, Path(out))
    return report


def score_together(
    results: Sequence[str | Path],
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path | None = None,
    watch: Callable[[str, int, int], None] = nobody,
) -> Comparison:
    """Score the masks of several methods, and set them against those of the first.

    Args:
        results: Folders of the masks, at least two; see `score`. Results are named by the last part of their path, or
            by more where that does not tell them apart.
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
    folders = dict(zip(unique_names([Path(folder) for folder in results]), map(Path, results), strict=True))
    reports = {name: _report(videos, Path(root), folder, {}, _telling(watch, name)) for name, folder in folders.items()}
    comparison = compare(reports)
    if out is not None:
        pictures = take_pictures(videos, folders, reports, frames_apart(comparison))
        comparison.write(out)
        write_text(Path(out) / "comparison.html", comparison_page(comparison, pictures))
    return comparison


def _look_ahead(benchmark: Benchmark) -> int:
    """Return the number of frames to track; what is missing for it is told now, not after hours."""
    total = 0
    for video in benchmark.videos:
        _ = video.frames, [video.given_mask(name) for name in video.given]
        total += len(_tracked_frames(video))
    return total


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


def _remove_old(benchmark: Benchmark, out: Path) -> None:
    """Remove what this run will write anew: should it break off, nothing of an earlier one passes for its result."""
    masks = [out / "masks" / video.name / f"{frame}.png" for video in benchmark.videos for frame in video.required]
    true = {path.resolve() for video in benchmark.videos for path in video.mask_files.values()}
    if any(path.resolve() in true for path in masks):
        raise UsageError(f"{out / 'masks'} holds the true masks, which results would replace; choose another --out")
    names = ["report.json", "report.csv", "report.md", "report.html"]
    names += [f"{kind}_results-{benchmark.subset}.csv" for kind in ("global", "per-sequence")]
    for path in [_archive_path(benchmark, out), *(out / name for name in names), *masks]:
        path.unlink(missing_ok=True)


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
    attributes = read_attributes(root)
    series = score_results(benchmark, results, progress=progress)
    hashes = {"data": data_hash(benchmark), "results": results_hash(benchmark, results)}
    return summarise(benchmark, series, {**hashes, **_provenance(settings)}).with_attributes(attributes)


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
