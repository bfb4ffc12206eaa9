"""Score a folder of result masks by the rules of a benchmark."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.errors import DataError, MaskMismatch
from selfvos.evaluation.metrics import score_frame
from selfvos.evaluation.report import ObjectSeries
from selfvos.types import Progress

_VOID = 255


def score_results(
    benchmark: Benchmark,
    results_folder: Path | str,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[ObjectSeries, ...]:
    """Compute J and F of every object in every frame that counts.

    Args:
        benchmark: Videos, true masks, and which frames count.
        results_folder: Holds ``<video>/<frame>.png`` with the ids of the first mask; more files than needed
            do no harm.
        workers: Frames scored at a time; None for one per processor.
        progress: Told how many frames are done and how many there are.

    Returns:
        One entry per object, in the order of the list and of the ids.

    Raises:
        DataError: A result or an annotation is missing or unreadable, differs in size, or names an object
            that the first mask does not hold.

    Source:
        DAVIS benchmark, semi-supervised protocol: an object absent from a result is an empty mask.
    """
    folder = Path(results_folder)
    _require_videos(benchmark, folder)
    for video in benchmark.videos:
        _require_frames(video, folder / video.name)
    jobs = [(video, frame) for video in benchmark.videos for frame in video.counted]

    def score(job: tuple[LabelledVideo, str]) -> tuple[Float64[np.ndarray, "o"], Float64[np.ndarray, "o"]]:
        video, frame = job
        path = folder / video.name / f"{frame}.png"
        truth, result = video.truth(frame), benchmark.read_result(path)
        _require_fit(path, truth, result, video)
        return score_frame(truth, result, video.objects)

    scores = []
    with ThreadPoolExecutor(workers or _processors()) as pool:
        for done, frame_scores in enumerate(pool.map(score, jobs), start=1):
            scores.append(frame_scores)
            if progress:
                progress(done, len(jobs))
    remaining = iter(scores)
    return tuple(
        series for video in benchmark.videos for series in _series(video, list(islice(remaining, len(video.counted))))
    )


def _series(
    video: LabelledVideo, scores: Sequence[tuple[Float64[np.ndarray, "o"], Float64[np.ndarray, "o"]]]
) -> list[ObjectSeries]:
    region, boundary = (np.stack(measure, axis=1) for measure in zip(*scores, strict=True))  # o t
    return [_one(video, id, j, f) for id, j, f in zip(video.objects, region, boundary, strict=True)]


def _one(
    video: LabelledVideo, object_id: int, region: Float64[np.ndarray, "t"], boundary: Float64[np.ndarray, "t"]
) -> ObjectSeries:
    frames = video.counted_for(object_id)
    counted = np.isin(video.counted, frames)
    values = {"J": region[counted], "F": boundary[counted]}
    return ObjectSeries(video=video.name, object=object_id, frames=frames, values=values, group=video.group(object_id))


def _require_videos(benchmark: Benchmark, folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"no folder of results {folder}: give the folder that holds one folder per video")
    names = [video.name for video in benchmark.videos]
    absent = [name for name in names if not (folder / name).is_dir()]
    if not absent:
        return
    if len(absent) == len(names):
        _require_depth(folder, names)
    raise DataError(
        f"no results {folder / absent[0]} ({len(absent)} of {len(names)} videos missing): {benchmark.name} scores all"
    )


def _require_depth(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder that is one level away from the results, naming the right one."""
    inside = [child for child in sorted(folder.iterdir()) if any((child / name).is_dir() for name in names)]
    if inside:
        raise DataError(f"results in {folder} lie one level deeper: give {inside[0]}")
    if folder.resolve().name in names:
        raise DataError(f"{folder} is one video's results: give its parent {folder.resolve().parent}")


def _require_frames(video: LabelledVideo, folder: Path) -> None:
    present = set(os.listdir(folder))
    absent = [name for name in video.counted if f"{name}.png" not in present]
    if absent:
        raise DataError(
            f"no result {folder / absent[0]}.png ({len(absent)} of {len(video.counted)} frames missing): "
            "write one PNG per frame, named like the frame"
        )


def _require_fit(
    path: Path, truth: UInt8[np.ndarray, "y x"], result: UInt8[np.ndarray, "_y _x"], video: LabelledVideo
) -> None:
    if truth.shape != result.shape:
        sizes = [f"{height}x{width}" for height, width in (result.shape, truth.shape)]
        raise MaskMismatch(f"mask {path} is {sizes[0]} (height x width), its annotation {sizes[1]}; write it that size")
    strange = _stranger(result, video.objects)
    if strange is not None:
        what = "255 (void, which results must not hold)" if strange == _VOID else str(strange)
        raise MaskMismatch(
            f"mask {path} holds label {what}, {video.name} has objects {_spell(video.objects)}; write ids of the "
            "first mask, 0 for background"
        )


def _stranger(ids: UInt8[np.ndarray, "y x"], objects: Sequence[int]) -> int | None:
    """Return a label that is neither background nor one of the objects."""
    highest = int(ids.max())
    if highest > objects[-1]:
        return highest
    if len(objects) == objects[-1]:
        return None
    strange = set(np.unique(ids).tolist()) - {0, *objects}
    return min(strange) if strange else None


def _spell(objects: Sequence[int]) -> str:
    return f"1 to {objects[-1]}" if len(objects) == objects[-1] else ", ".join(map(str, objects))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
