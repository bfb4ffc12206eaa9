"""Score a folder of result masks by the rules of a benchmark."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.data.submissions import require_complete, require_fit
from selfvos.errors import DataError
from selfvos.evaluation.metrics import score_frame
from selfvos.evaluation.report import ObjectSeries
from selfvos.types import Progress


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
        One entry per object that is scored in any frame, in the order of the list and of the ids.

    Raises:
        DataError: A result or an annotation is missing or unreadable, differs in size, or names an object
            that no given mask holds; nothing is left to score, or only a server can.

    Source:
        DAVIS benchmark, semi-supervised protocol: an object absent from a result is an empty mask.
    """
    folder = Path(results_folder)
    if not benchmark.scored_here:
        raise DataError(
            f"only the official server has the true masks of {benchmark.name}: pack the results with "
            "'selfvos data pack' and submit them there"
        )
    require_complete(benchmark, folder, lambda video: video.counted)
    jobs = [(video, frame) for video in benchmark.videos for frame in video.counted]
    if not jobs:
        raise DataError(f"{benchmark.name}: no frame to score, all masks are given ones; label later frames as well")

    def score(job: tuple[LabelledVideo, str]) -> tuple[Float64[np.ndarray, "o"], Float64[np.ndarray, "o"]]:
        video, frame = job
        path = folder / video.name / f"{frame}.png"
        truth, result = video.truth(frame), benchmark.read_result(path)
        require_fit(path, result, video, truth.shape)
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
    if not scores:  # each object is labelled in one frame alone, the one in which it is given
        return []
    region, boundary = (np.stack(measure, axis=1) for measure in zip(*scores, strict=True))  # o t
    series = zip(video.objects, region, boundary, strict=True)
    return [_one(video, id, j, f) for id, j, f in series if video.counted_for(id)]


def _one(
    video: LabelledVideo, object_id: int, region: Float64[np.ndarray, "t"], boundary: Float64[np.ndarray, "t"]
) -> ObjectSeries:
    frames = video.counted_for(object_id)
    counted = np.isin(video.counted, frames)
    values = {"J": region[counted], "F": boundary[counted]}
    return ObjectSeries(video=video.name, object=object_id, frames=frames, values=values, group=video.group(object_id))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
