"""K-means on the CPU: Lloyd's descent without the distances that cannot matter, and groups merged into fewer.

How much nearer a point is to its centroid than to the second nearest says how far centroids may move before the point
can change sides. Most points are far from any border, so after the first step few are looked at again.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int64

from selfvos.ops.kernels.compiling import compiled

_SLACK = np.float32(1e-5)  # of a length: more than rounding errors of bounds add up to


# Sums may be taken in any order, in vectors, but infinity stays infinity.
_compiled = partial(compiled, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")


class Descents(NamedTuple):
    """Where r descents ended."""

    centroids: Float32[np.ndarray, "r m c"]
    nearest: Int64[np.ndarray, "r p"]
    """Index of each point's nearest centroid."""
    counts: Int64[np.ndarray, "r m"]
    """Points of each centroid."""
    inertia: Float64[np.ndarray, " r"]
    steps: Int64[np.ndarray, " r"]


def descend(
    points: Float32[np.ndarray, "p c"],
    starts: Float32[np.ndarray, "r m c"],
    iterations: int,
    tolerance: float,
    workers: int,
) -> Descents:
    """Move centroids to the mean of their points, again and again, from r starts.

    Args:
        points: What is grouped, C-contiguous; best with mean 0.
        starts: Where the m centroids of each descent begin.
        iterations: Most steps of one descent, >= 0.
        tolerance: A descent ends when a step lowers the inertia by no more than this fraction.
        workers: Threads to use, at least 1; the result does not depend on it.

    Returns:
        The descents; a centroid without points stays where it is.

    Source:
        Lloyd 1982. Bounds as Hamerly 2010, kept as one number for each point: what centroids may still move.
    """
    runs, m, _ = starts.shape
    nearest = np.full((runs, len(points)), -1)
    ends = Descents(starts.copy(), nearest, np.zeros((runs, m), int), np.zeros(runs), np.zeros(runs, int))

    def run(i: int) -> None:
        ends.inertia[i], ends.steps[i] = _descend(
            points, ends.centroids[i], nearest[i], ends.counts[i], iterations, tolerance
        )

    if min(workers, runs) == 1:
        for i in range(runs):
            run(i)
        return ends
    with ThreadPoolExecutor(min(workers, runs)) as pool:
        list(pool.map(run, range(runs)))
    return ends


@_compiled
@no_type_check
def _descend(points, centroids, nearest, counts, iterations, tolerance):
    m, c = centroids.shape
    sums = np.zeros((m, c), dtype=np.float64)
    patience = np.full(len(points), -1, dtype=np.float32)  # centroids moved by less do not matter to the point
    moved = np.zeros(m, dtype=np.float32)
    square, inertia, previous = 0.0, 0.0, np.inf
    for step in range(iterations + 1):
        for p in range(len(points)):
            old = nearest[p]
            if patience[p] > moved[old]:
                continue
            best, second, new = np.float32(np.inf), np.float32(np.inf), 0
            for j in range(m):
                distance = np.float32(0)
                for k in range(c):
                    difference = points[p, k] - centroids[j, k]
                    distance += difference * difference
                second = min(second, max(best, distance))
                new = j if distance < best else new
                best = min(best, distance)
            patience[p] = (1 - _SLACK) * np.sqrt(second) - np.sqrt(best) + moved[new]
            if step == 0:
                square += best
            if new != old:
                nearest[p] = new
                counts[new] += 1
                for k in range(c):
                    sums[new, k] += points[p, k]
                if old >= 0:
                    counts[old] -= 1
                    for k in range(c):
                        sums[old, k] -= points[p, k]
        # The inertia is the points' own square less what their centroids account for.
        saved = 0.0
        for j in range(m):
            for k in range(c):
                saved += centroids[j, k] * (2 * sums[j, k] - counts[j] * np.float64(centroids[j, k]))
        if step == 0:
            square += saved
        inertia = max(0.0, square - saved)
        if step == iterations or previous - inertia <= tolerance * inertia:
            return inertia, step
        previous = inertia
        _move(centroids, sums, counts, moved)
    return inertia, iterations


@_compiled
@no_type_check
def _move(centroids, sums, counts, moved):
    """Bring centroids to their means; add how far each, and the farthest, went to what was moved so far."""
    far = 0.0
    for j in range(len(centroids)):
        shift = 0.0
        for k in range(centroids.shape[1] if counts[j] else 0):
            mean = np.float32(sums[j, k] / counts[j])
            shift += (mean - np.float64(centroids[j, k])) ** 2
            centroids[j, k] = mean
        shift = (1 + _SLACK) * np.sqrt(shift)
        moved[j] += shift
        far = max(far, shift)
    moved += far


def merge(
    centroids: Float32[np.ndarray, "k c"], counts: Int64[np.ndarray, " k"], clusters: int
) -> Float32[np.ndarray, "m c"]:
    """Merge groups into m = `clusters`, each time the two whose union adds least to the inertia.

    Args:
        centroids: Mean of each group.
        counts: Points of each group.
        clusters: Groups wanted, 1 to k.

    Source:
        Ward 1963.
    """
    left = _merge(centroids.astype(np.float64), counts.astype(np.float64), clusters)
    return left.astype(np.float32)


@_compiled
@no_type_check
def _merge(centroids, counts, clusters):
    cost = np.full((len(counts), len(counts)), np.inf)  # of each pair; the group that ends a pair is dissolved
    for j in range(len(counts)):
        for i in range(j):
            cost[i, j] = _union_cost(centroids, counts, i, j)
    for size in range(len(counts), clusters, -1):
        cheapest = np.argmin(cost[:size, :size])
        i, j = cheapest // size, cheapest % size
        both = max(counts[i] + counts[j], 1.0)
        centroids[i] += counts[j] / both * (centroids[j] - centroids[i])
        counts[i] += counts[j]
        # The last group takes the place of the one dissolved.
        centroids[j], counts[j] = centroids[size - 1], counts[size - 1]
        for changed in (i, j):
            for other in range(size - 1):
                first, second = min(changed, other), max(changed, other)
                if first < second:
                    cost[first, second] = _union_cost(centroids, counts, first, second)
    return centroids[:clusters]


@_compiled
@no_type_check
def _union_cost(centroids, counts, i, j):
    square = 0.0
    for k in range(centroids.shape[1]):
        square += (centroids[i, k] - centroids[j, k]) ** 2
    return counts[i] * counts[j] / max(counts[i] + counts[j], 1.0) * square
