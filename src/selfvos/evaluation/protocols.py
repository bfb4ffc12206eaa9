"""Score a folder of result masks by the rules of a benchmark."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float64

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.data.mask_png import IdMap
from selfvos.data.submissions import require_complete, require_fit
from selfvos.errors import DataError
from selfvos.evaluation.metrics import score_frame
from selfvos.evaluation.report import ObjectSeries
from selfvos.evaluation.workers import in_threads
from selfvos.types import Watch, ignore

Found = TypeVar("Found")


def score_results(
    benchmark: Benchmark, results_folder: Path | str, *, workers: int | None = None, watch: Watch = ignore
) -> tuple[ObjectSeries, ...]:
    """Compute J and F of every object in every frame that counts.

    Args:
        benchmark: Videos, true masks, and which frames count.
        results_folder: Holds ``<video>/<frame>.png`` with the ids of the first mask; more files than needed
            do no harm.
        workers: Frames scored at a time; None for one per processor.
        watch: Told how many frames are done; see `Watch`.

    Returns:
        One entry per object that is scored in any frame, in the order of the list and of the ids.

    Raises:
        DataError: A result or an annotation is missing or unreadable, differs in size, or names an object
            that no given mask holds; nothing is left to score, or only a server can.
        Stopped: The watch asked for it.

    Source:
        DAVIS benchmark, semi-supervised protocol: an object absent from a result is an empty mask.
    """
    if not benchmark.scored_here:
        raise DataError(
            f"only the official server has the true masks of {benchmark.name}: pack the results with "
            "'selfvos data pack' and submit them there"
        )

    def score(video: LabelledVideo, truth: IdMap, result: IdMap) -> tuple[np.ndarray, np.ndarray]:
        return score_frame(truth, result, video.objects)

    scores = each_frame(benchmark, Path(results_folder), score, workers=workers, watch=watch)
    if not any(scores):
        raise DataError(f"{benchmark.name}: no frame to score, all masks are given ones; label later frames as well")
    return tuple(
        series for video, found in zip(benchmark.videos, scores, strict=True) for series in _series(video, found)
    )


def each_frame(
    benchmark: Benchmark,
    folder: Path,
    score: Callable[[LabelledVideo, IdMap, IdMap], Found],
    *,
    workers: int | None = None,
    watch: Watch = ignore,
) -> list[list[Found]]:
    """Compare the true with the found mask of every frame that counts.

    Args:
        benchmark: Videos, true masks, and which frames count.
        folder: Holds ``<video>/<frame>.png``.
        score: Says what there is to say of a frame, given its video, the true ids and those of the result.
        workers: Frames compared at a time; None for one per processor.
        watch: Told how many frames are done; see `Watch`.

    Returns:
        By video and counted frame, what was said.

    Raises:
        DataError: A mask is missing, unreadable, or does not fit.
        Stopped: The watch asked for it.
    """
    require_complete(benchmark, folder, lambda video: video.counted)

    def compare(job: tuple[LabelledVideo, str]) -> Found:
        video, frame = job
        path = folder / video.name / f"{frame}.png"
        truth, result = video.truth(frame), benchmark.read_result(path)
        require_fit(path, result, video, truth.shape)
        return score(video, truth, result)

    jobs = [(video, frame) for video in benchmark.videos for frame in video.counted]
    found = iter(list(in_threads(compare, jobs, watch=watch, stage="scoring", workers=workers)))
    return [list(islice(found, len(video.counted))) for video in benchmark.videos]


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
