"""Region similarity J, boundary accuracy F and their statistics, as the DAVIS benchmark defines them."""

from collections.abc import Sequence
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Float64, Int64, Integer, UInt8

from selfvos.errors import DataError, MaskMismatch
from selfvos.evaluation.boundary import TOLERANCE, Edges, count_near, tolerance_px, trace
from selfvos.ops.kernels.compiling import compiled
from selfvos.types import Mask

_HIGHEST = 65535
_ONE = np.array([0, 1], np.int64)  # the slots of a boolean mask read as ids


class Statistics(NamedTuple):
    """One object's measure over its frames."""

    mean: float
    recall: float
    """Share of frames above 0.5."""
    decay: float
    """Mean of the first quarter less mean of the last."""


def score_frame(
    truth: Integer[np.ndarray, "y x"],
    result: Integer[np.ndarray, "_y _x"],
    objects: Sequence[int],
    *,
    tolerance: float = TOLERANCE,
) -> tuple[Float64[np.ndarray, "o"], Float64[np.ndarray, "o"]]:
    """Score all objects of a frame, reading both maps once.

    Args:
        truth: True object ids, 0 to 65535.
        result: Predicted object ids, 0 to 65535, same size.
        objects: Ids to score, at most 255 and all different; one that a map does not hold is an empty mask there.
        tolerance: Of F: share of the frame's diagonal when below 1, pixels from 1 on.

    Returns:
        J and F of each object, in [0, 1]; both 1 where both masks are empty.

    Raises:
        MaskMismatch: The maps differ in size.
        DataError: An id below 0 or above 65535.
        ValueError: An object is named twice or out of range, or they are more than 255.

    Source:
        DAVIS benchmark (Perazzi et al. 2016, Pont-Tuset et al. 2017), measures J and F.
    """
    if truth.shape != result.shape:
        raise MaskMismatch(f"result is {result.shape}, truth is {truth.shape} (height, width); write it at that size")
    slot_of = _slots(objects)
    if not truth.dtype == result.dtype == np.uint8:
        truth, result, slot_of = _recode(truth, slot_of), _recode(result, slot_of), np.arange(len(objects) + 1)
    # One kind of array, so that the kernels are compiled once: the caller's may be read-only or transposed.
    truth, result = (np.require(ids, requirements=["C", "W"]) for ids in (truth, result))
    areas = _areas(truth, result, slot_of, len(objects))
    true_edges, found_edges = trace(truth, slot_of, len(objects)), trace(result, slot_of, len(objects))
    precision, recall = _precision_recall(true_edges, found_edges, tolerance_px(truth.shape, tolerance))
    return _similarity(*areas), _harmonic_mean(precision, recall)


def region_similarity(truth: Mask, result: Mask, void: Mask | None = None) -> float:
    """Return J: the share of the union of two masks that both cover, 1 for two empty ones.

    Args:
        truth: True pixels of the object.
        result: Predicted pixels.
        void: Pixels to leave out; DAVIS' semi-supervised task has none.

    Source:
        Perazzi et al. 2016, region similarity (Jaccard index).
    """
    truth, result = _without(truth, void), _without(result, void)
    union = np.count_nonzero(truth | result)
    return float(np.count_nonzero(truth & result) / union) if union else 1.0


def boundary_accuracy(truth: Mask, result: Mask, void: Mask | None = None, *, tolerance: float = TOLERANCE) -> float:
    """Return F: the harmonic mean of the precision and recall of a mask's boundary.

    Args:
        truth: True pixels of the object.
        result: Predicted pixels.
        void: Pixels to leave out, set to background before boundaries are drawn.
        tolerance: Share of the frame's diagonal when below 1, pixels from 1 on.

    Source:
        Perazzi et al. 2016, contour accuracy in the benchmark's approximation by dilation.
    """
    precision, recall = boundary_precision_recall(truth, result, void, tolerance=tolerance)
    return float(_harmonic_mean(np.array([precision]), np.array([recall]))[0])


def boundary_precision_recall(
    truth: Mask, result: Mask, void: Mask | None = None, *, tolerance: float = TOLERANCE
) -> tuple[float, float]:
    """Return the share of the predicted boundary near the true one, and of the true near the predicted.

    See `boundary_accuracy` for the arguments. A missing boundary has precision or recall 1, and makes the
    other 0 unless both are missing.
    """
    true_edges, found_edges = (trace(_without(mask, void).astype(np.uint8), _ONE, 1) for mask in (truth, result))
    precision, recall = _precision_recall(true_edges, found_edges, tolerance_px(truth.shape, tolerance))
    return float(precision[0]), float(recall[0])


def statistics(values: Float[np.ndarray, "t"]) -> Statistics:
    """Return mean, recall and decay of one object's measure over the frames that count.

    Args:
        values: J or F by frame, in [0, 1]; NaN where undefined.

    Raises:
        ValueError: No frame at all.

    Source:
        DAVIS benchmark. Its bin edges are 8-bit numbers, which wrap above 256 frames; these do not.
    """
    if not len(values):
        raise ValueError("no frame to take statistics of")
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(np.int64) - 1
    first, last = (values[edges[i] : edges[i + 1] + 1] for i in (0, 3))  # neighbours share a frame, as in DAVIS
    recall = float(np.mean(values > 0.5))  # an undefined frame is no success, but counts
    return Statistics(_mean(values), recall, _mean(first) - _mean(last))


def _mean(values: Float[np.ndarray, "t"]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _without(mask: Mask, void: Mask | None) -> Mask:
    return mask if void is None else mask & ~void


def _slots(objects: Sequence[int]) -> Int64[np.ndarray, "ids"]:
    """Return, by id, 0 or the object's place in the list plus one."""
    if len(set(objects)) != len(objects) or not all(0 <= one <= _HIGHEST for one in objects) or len(objects) > 255:
        raise ValueError(f"expected at most 255 different objects from 0 to {_HIGHEST}, got {list(objects)}")
    slot_of = np.zeros(max(255, *objects) + 1 if objects else 256, np.int64)
    slot_of[list(objects)] = np.arange(1, len(objects) + 1)
    return slot_of


def _recode(ids: Integer[np.ndarray, "y x"], slot_of: Int64[np.ndarray, "ids"]) -> UInt8[np.ndarray, "y x"]:
    """Replace every id by its slot, so that the kernels need no second compilation for wider numbers."""
    if ids.size and not 0 <= ids.min() <= ids.max() <= _HIGHEST:
        raise DataError(f"object ids run from {ids.min()} to {ids.max()}; they must be 0 to {_HIGHEST}")
    whole = np.zeros(_HIGHEST + 1, np.uint8)
    whole[: len(slot_of)] = slot_of
    return whole[ids]


def _similarity(
    both: Int64[np.ndarray, "o"], truth: Int64[np.ndarray, "o"], result: Int64[np.ndarray, "o"]
) -> Float64[np.ndarray, "o"]:
    union = truth + result - both
    return np.where(union == 0, 1.0, both / np.maximum(union, 1))


def _precision_recall(
    truth: Edges, result: Edges, radius: int
) -> tuple[Float64[np.ndarray, "o"], Float64[np.ndarray, "o"]]:
    some_truth, some_result = truth.counts > 0, result.counts > 0
    precision = count_near(result, truth, radius) / np.maximum(result.counts, 1)
    recall = count_near(truth, result, radius) / np.maximum(truth.counts, 1)
    return np.where(some_result, precision, 1.0), np.where(some_truth, recall, 1.0)


def _harmonic_mean(precision: Float64[np.ndarray, "o"], recall: Float64[np.ndarray, "o"]) -> Float64[np.ndarray, "o"]:
    total = precision + recall
    return np.where(total == 0, 0.0, 2 * precision * recall / np.where(total == 0, 1.0, total))


@compiled
@no_type_check
def _areas(truth, result, slot_of, count):
    """Count pixels of each object in both maps, in the truth and in the result, by runs of equal labels."""
    height, width = truth.shape
    area = np.zeros((3, count + 1), np.int64)
    ends = np.zeros((width + 7) // 8 * 8, np.uint8)
    eights = ends.view(np.uint64)
    for y in range(height if width else 0):
        true_row, found_row = truth[y], result[y]
        for x in range(width - 1):
            ends[x] = (true_row[x] != true_row[x + 1]) | (found_row[x] != found_row[x + 1])
        ends[width - 1] = 1
        done = 0
        for i in range(len(eights)):
            if eights[i]:
                for x in range(8 * i, 8 * i + 8):
                    if ends[x]:
                        true_slot, found_slot = slot_of[true_row[x]], slot_of[found_row[x]]
                        area[1, true_slot] += x + 1 - done
                        area[2, found_slot] += x + 1 - done
                        if true_slot == found_slot:
                            area[0, true_slot] += x + 1 - done
                        done = x + 1
    return area[:, 1:]
