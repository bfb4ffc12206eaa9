"""Masks scored: our own tracker's, or anyone's."""

import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from selfvos.api.tracking import follow
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, LabelledVideo
from selfvos.data.results import ResultFolder
from selfvos.data.source import open_source
from selfvos.evaluation.protocols import score_results
from selfvos.evaluation.report import Report, summarise
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.settings import to_dict
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker, recommended
from selfvos.types import Frame, nobody


def evaluate(
    model: Segmenter,
    benchmark: str,
    *,
    root: str | Path,
    out: str | Path,
    config: TrackConfig | None = None,
    overlays: bool = False,
    watch: Callable[[str, int, int], None] = nobody,
) -> Report:
    """Track every video of a benchmark, write the masks, and score them.

    Args:
        model: A loaded network.
        benchmark: Name of the protocol, such as ``davis-2016-val``.
        root: Folder of the data set.
        out: Masks go to ``masks/<video>/<frame>.png`` below it, tables and ``report.json`` beside.
        config: How to track; by default as the weights recommend.
        overlays: Also write ``overlays/<video>.mp4``.
        watch: Called with the video, frames done, and frames in all.

    Raises:
        UnknownName: No such benchmark.
        DataError: The data set is incomplete.
    """
    config = config or recommended(model)
    videos = BENCHMARKS.get(benchmark)(Path(root))
    out = Path(out)
    total = sum(len(_tracked_frames(video)) for video in videos.videos)
    done = 0
    for video in videos.videos:
        overlay = out / "overlays" / f"{video.name}.mp4" if overlays else None
        tracker = Tracker(model, config)
        names, required = _tracked_frames(video), set(video.required)
        masks = {names.index(name): video.given_mask(name) for name in video.given}
        with ResultFolder(out / "masks" / video.name, overlay_video=overlay) as folder:
            for tracked in follow(tracker, _frames(video), masks):
                if tracked.frame.name in required:
                    folder.write(tracked)
                done += 1
                watch(video.name, done, total)
    return _report(videos, out / "masks", out, {"weights": digest(model.state_dict()), **_flat(to_dict(config))})


def score(results: str | Path, benchmark: str, *, root: str | Path, out: str | Path | None = None) -> Report:
    """Score masks that any method wrote as ``<results>/<video>/<frame>.png``.

    Args:
        results: Folder of the masks.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: Where tables and ``report.json`` go; None writes nothing.

    Raises:
        UnknownName: No such benchmark.
        DataError: A mask is missing, of another size, or has an id that is not in the benchmark.
    """
    return _report(BENCHMARKS.get(benchmark)(Path(root)), Path(results), Path(out) if out else None, {})


def _tracked_frames(video: LabelledVideo) -> tuple[str, ...]:
    """Return the names of a video's frames from the first given mask on."""
    return video.frame_names[video.frame_names.index(video.given[0]) :]


def _frames(video: LabelledVideo) -> Iterator[Frame]:
    """Read those frames under the names that their results must carry."""
    tracked = set(_tracked_frames(video))
    pairs = zip((path.stem for path in video.frames), video.frame_names, strict=True)
    wanted = {stem: name for stem, name in pairs if name in tracked}
    for frame in open_source(video.frames[0].parent):
        if frame.name in wanted:
            yield replace(frame, name=wanted[frame.name])


def _report(benchmark: Benchmark, results: Path, out: Path | None, settings: dict[str, str | float]) -> Report:
    versions = {name: importlib.metadata.version(name) for name in ("selfvos", "torch", "numpy")}
    provenance = {**settings, **versions, "python": platform.python_version(), "machine": platform.machine()}
    report = summarise(benchmark, score_results(benchmark, results), provenance)
    if out is not None:
        report.write(out)
    return report


def _flat(settings: Mapping[str, object], prefix: str = "track") -> dict[str, str | float]:
    flat: dict[str, str | float] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}.{name}"))
        else:
            flat[f"{prefix}.{name}"] = value if isinstance(value, float) else str(value)
    return flat
