"""Body parts scored: mean IoU over classes from one confusion matrix, as the field computes it on VIP."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.data.mask_png import IdMap
from selfvos.evaluation.protocols import each_frame
from selfvos.evaluation.report import ObjectSeries, Report, data_hash, results_hash
from selfvos.types import Watch, ignore


def confusion(truth: IdMap, result: IdMap, classes: int) -> Int64[np.ndarray, "{classes} {classes}"]:
    """Count the pixels of each pair of true and found class.

    Args:
        truth: True classes; a pixel of no class, such as 255 for void, is left out.
        result: Found classes, all of them below `classes`.
        classes: How many there are.

    Returns:
        Pixels by true class (rows) and found class (columns).
    """
    known = truth < classes
    pairs = truth[known].astype(np.int64) * classes + result[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_iou(counts: Int64[np.ndarray, "c c"]) -> Float64[np.ndarray, "c"]:
    """Return each class's intersection over union, in [0, 1]; NaN for a class that neither truth nor result shows.

    Args:
        counts: As `confusion` returns them, or a sum of such.
    """
    both = np.diagonal(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - both
    return np.where(union > 0, both / np.maximum(union, 1), np.nan)


def mean_iou(counts: Int64[np.ndarray, "c c"]) -> float:
    """Return the mean over the classes that truth or result shows; NaN where there is none."""
    found = class_iou(counts)
    shown = found[~np.isnan(found)]
    return float(shown.mean()) if len(shown) else float("nan")


def score_parts(
    benchmark: Benchmark,
    results_folder: Path | str,
    provenance: Mapping[str, str | float] | None = None,
    *,
    watch: Watch = ignore,
) -> Report:
    """Score the part maps of a benchmark.

    Args:
        benchmark: Videos, true part maps, and which frames count; its labels name the classes.
        results_folder: Holds ``<video>/<frame>.png`` with the ids of the classes.
        provenance: What the results come from; hashes of the true maps and of the results are added.
        watch: Told how many frames are done; see `Watch`.

    Returns:
        Over all pixels of all videos, the mean IoU and that of each class; the mean IoU of every video by itself,
        whose mean is not that of the whole.

    Raises:
        DataError: A result or an annotation is missing or unreadable, differs in size, or holds another class.
        Stopped: The watch asked for it.

    Source:
        Public scorers of TimeCycle, UVC and Spa-then-Temp: background counts like any class, void is left out.
    """
    folder, classes = Path(results_folder), len(benchmark.labels)

    def count(_: LabelledVideo, truth: IdMap, result: IdMap) -> Int64[np.ndarray, "c c"]:
        return confusion(truth, result, classes)

    counts = [np.stack(frames) for frames in each_frame(benchmark, folder, count, watch=watch)]
    by_video = {video.name: found for video, found in zip(benchmark.videos, counts, strict=True)}
    pooled = np.concatenate(counts).sum(axis=0)
    hashes = {"data": data_hash(benchmark), "results": results_hash(benchmark, folder)}
    return Report(
        protocol=benchmark.name,
        subset=benchmark.subset,
        note=benchmark.note,
        overall={"mIoU": mean_iou(pooled), **dict(zip(benchmark.labels, class_iou(pooled).tolist(), strict=True))},
        per_object={name: {"mIoU": mean_iou(found.sum(axis=0))} for name, found in by_video.items()},
        series=tuple(_series(video, by_video[video.name]) for video in benchmark.videos),
        unit="videos",
        provenance={**hashes, **(provenance or {})},
    )


def _series(video: LabelledVideo, counts: Sequence[np.ndarray] | np.ndarray) -> ObjectSeries:
    values = {"mIoU": np.array([mean_iou(one) for one in counts])}
    return ObjectSeries(video=video.name, object=0, frames=video.counted, values=values)
