"""Points scored: the percentage of correct keypoints (PCK), as the field computes it on JHMDB."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from selfvos.data.benchmarks.base import Benchmark
from selfvos.data.points import PointVideo, point_videos, read_points
from selfvos.evaluation.report import ObjectSeries, Report, combined_hash
from selfvos.storage import sha256
from selfvos.types import Watch, go_on, ignore

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of the normaliser within which a point counts as found."""
_OF_DIAGONAL = 0.6


def point_errors(
    truth: Float64[np.ndarray, "t j 2"], found: Float64[np.ndarray, "t j 2"]
) -> Float64[np.ndarray, "t j"]:
    """Return how far each point is from the truth, as a share of the size of the body in that frame.

    Args:
        truth: True places (x, y) in pixels.
        found: Places that a method found, in pixels; NaN where it found none.

    Returns:
        Distance over 0.6 times the diagonal of the box around the true places of the found points; NaN for a missing
        point, infinity where the box is a single place.

    Source:
        Public scorers of CRW and Spa-then-Temp.
    """
    missing = np.max(np.isnan(found), axis=2)
    highest = np.where(missing[..., None], -np.inf, truth).max(axis=1)
    lowest = np.where(missing[..., None], np.inf, truth).min(axis=1)
    some = ~np.min(missing, axis=1)
    diagonal = np.zeros(len(truth))
    diagonal[some] = np.linalg.norm(highest[some] - lowest[some], axis=1)
    distance = np.linalg.norm(found - truth, axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(diagonal[:, None] > 0, distance / (_OF_DIAGONAL * diagonal[:, None]), np.inf)
    return np.where(missing, np.nan, share)


def pck(errors: Float64[np.ndarray, "t j"], share: float) -> Float64[np.ndarray, "j"]:
    """Return, for each point, the share of the frames that show it in which it is near enough.

    Args:
        errors: As `point_errors` returns them, of any number of frames.
        share: How far a point may be, as a share of the normaliser.

    Returns:
        In [0, 1]; NaN for a point that is missing in all frames.
    """
    shown = np.count_nonzero(~np.isnan(errors), axis=0)
    near = np.count_nonzero(errors <= share, axis=0)
    return np.where(shown > 0, near / np.maximum(shown, 1), np.nan)


def score_points(
    benchmark: Benchmark,
    results_folder: Path | str,
    provenance: Mapping[str, str | float] | None = None,
    *,
    watch: Watch = ignore,
) -> Report:
    """Score the points of a benchmark.

    Args:
        benchmark: Videos, true points, and which frames count.
        results_folder: Holds ``<video>.csv`` with the columns frame, joint, x and y.
        provenance: What the results come from; hashes of the true points and of the results are added.
        watch: Told how many frames are done; see `Watch`.

    Returns:
        Over all videos, PCK at five shares as means over the points, then each point's at 0.1; PCK of every video.

    Raises:
        DataError: A result is missing, incomplete or unreadable.
        Stopped: The watch asked for it.

    Source:
        Public scorers of CRW and Spa-then-Temp: frames of all videos are pooled point by point; a missing point counts
        neither as right nor as wrong.
    """
    videos, folder = point_videos(benchmark), Path(results_folder)
    total, errors = sum(len(video.counted) for video in videos), []
    for video in videos:
        found = read_points(folder / f"{video.name}.csv", video.counted, video.objects)
        errors.append(point_errors(_truth(video), found))
        watch.tell("scoring", sum(map(len, errors)), total)
        go_on(watch)
    pooled = np.concatenate(errors)
    names = [f"{name}@{SHARES[0]:g}" for name in benchmark.labels]
    hashes = {
        "data": combined_hash((video.name, _digest(video)) for video in videos),
        "results": combined_hash((video.name, sha256(folder / f"{video.name}.csv")) for video in videos),
    }
    return Report(
        protocol=benchmark.name,
        subset=benchmark.subset,
        note=benchmark.note,
        overall={**_means(pooled), **dict(zip(names, pck(pooled, SHARES[0]).tolist(), strict=True))},
        per_object={video.name: _means(one) for video, one in zip(videos, errors, strict=True)},
        series=tuple(_series(video, one) for video, one in zip(videos, errors, strict=True)),
        unit="videos",
        provenance={**hashes, **(provenance or {})},
    )


def _truth(video: PointVideo) -> Float64[np.ndarray, "t j 2"]:
    return np.stack([video.points(frame) for frame in video.counted])


def _means(errors: Float64[np.ndarray, "t j"]) -> dict[str, float]:
    return {f"PCK@{share:g}": _mean(pck(errors, share)) for share in SHARES}


def _series(video: PointVideo, errors: Float64[np.ndarray, "t j"]) -> ObjectSeries:
    values = {f"PCK@{share:g}": np.array([_mean(pck(one[None], share)) for one in errors]) for share in SHARES[:2]}
    return ObjectSeries(video=video.name, object=0, frames=video.counted, values=values)


def _mean(values: Float64[np.ndarray, "_"] | Sequence[float]) -> float:
    defined = np.asarray(values)[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _digest(video: PointVideo) -> str:
    truth = _truth(video)
    return hashlib.sha256(f"{video.counted} {truth.shape}".encode() + truth.tobytes()).hexdigest()
