"""Space-time clustering: the cells of a whole video in a few groups, without labels."""

import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from selfvos.errors import DataError, UsageError
from selfvos.ops.position_code import PositionMode, add_position
from selfvos.ops.threads import kernel_threads

_RACE_POINTS = 2048
_STARTS = 2  # per restart: a start costs little, and ten pairs find what ten of scikit-learn's restarts find
_GROUP_POINTS = 16
_GROUP_STEPS = 3
_SAME_SIZES = 0.02  # of the points: ends of the race whose groups differ by less are in one valley, if also ...
_SAME_INERTIA = 1e-4  # ... their inertias differ by less than this fraction
_NEAR_LOWEST = 5e-3  # of the inertia: a sample seldom ranks valleys that are farther apart wrongly
_FAILURES = 3
_CHUNK_CELLS = 16384


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How the cells of one video are grouped."""

    clusters: int = 5
    """Groups per video, 1 to 255; a video with fewer distinct cells gets fewer."""
    restarts: int = 10
    """Pairs of starts that compete."""
    iterations: int = 50
    """Most steps of one descent."""
    tolerance: float = 1e-4
    """A descent ends when a step lowers the inertia by less than this fraction."""
    position_weight: float = 0.5
    """Length of the position code that a unit-length feature is given; 0 clusters by looks alone."""
    position_mode: PositionMode = "add"
    """Whether the code is added to the feature or put beside it."""
    fit_every: int = 8
    """Centroids are fitted on every so many-th frame; all frames are assigned."""
    fit_frames: int = 4
    """Frames to fit on at least, where the video has them: a short video is sampled more densely."""

    def __post_init__(self) -> None:
        if not 1 <= self.clusters <= 255:
            raise UsageError(f"clusters must be 1 to 255, got {self.clusters}")
        for name in ("restarts", "iterations", "fit_every", "fit_frames"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("tolerance", "position_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be finite and at least 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class Clustering:
    """Groups of points, the largest first."""

    centroids: Float[Tensor, "m c"]
    assignment: Int64[Tensor, " p"]
    """Index of each point's nearest centroid; every centroid has a point."""
    inertia: float
    """Sum of the squared distances of all points to their centroids."""
    iterations: int
    """Steps of the descent on all points."""


@torch.no_grad()
def cluster_video(
    features: Float[Tensor, "t h w c"], config: ClusterConfig, seed: int
) -> tuple[UInt8[Tensor, "t h w"], Float[Tensor, "m c2"]]:
    """Group all cells of all frames of one video.

    Args:
        features: Unit-length features of every frame, in the order of time.
        config: How to group.
        seed: Where randomness starts; see `seed_for`.

    Returns:
        The cluster of each cell, the most frequent cluster being 0, and the m <= `config.clusters` centroids
        (c2 = 2 c when position is put beside features).

    Raises:
        DataError: Features that are not finite, or none.

    Source:
        Li et al. 2023, arXiv:2303.10100, space-time clustering. Its norm is printed unsquared; k-means descends the
        squared one, as the released code does. That code fits on every 8th frame; here a video with fewer than
        `fit_frames` such frames is sampled as densely as it takes to have them.
    """
    t, h, w, _ = features.shape
    frames = _fit_on(t, config)
    points = _points(features, frames, config)
    fit = kmeans(
        points,
        config.clusters,
        restarts=config.restarts,
        iterations=config.iterations,
        tolerance=config.tolerance,
        generator=torch.Generator().manual_seed(seed),
    )
    # In pieces, so that a long video is never held twice.
    pieces = torch.arange(t).split(max(1, _CHUNK_CELLS // (h * w)))
    assignment = torch.cat([assign(_points(features, piece, config), fit.centroids) for piece in pieces])
    centroids, assignment = _by_size(fit.centroids, assignment)
    return assignment.to(torch.uint8).view(t, h, w), centroids


def seed_for(seed: int, video: str, round: int) -> int:
    """Derive the seed for one video in one round of clustering, the same in every process and on every machine.

    Args:
        seed: Seed of the whole run.
        video: Name of the video.
        round: How often pseudo masks were made before.

    Returns:
        A number in [0, 2^63).
    """
    digest = hashlib.blake2b(f"{seed}\n{round}\n{video}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def assign(points: Float[Tensor, "p c"], centroids: Float[Tensor, "m c"]) -> Int64[Tensor, " p"]:
    """Return the index of the centroid nearest to each point; of those that float32 cannot tell apart, the first."""
    centre = centroids.mean(dim=0)
    return _nearest(points - centre, (centroids - centre)[None])[1][0]


@torch.no_grad()
def kmeans(
    points: Float[Tensor, "p c"],
    clusters: int,
    *,
    restarts: int = 10,
    iterations: int = 50,
    tolerance: float = 1e-4,
    generator: torch.Generator,
) -> Clustering:
    """Group points so that the sum of squared distances to the group's mean is small.

    Starts race on a sample, spread evenly over the order of the points (2048 of them, or some 400 per cluster where
    that is more). Those that end there in different valleys, at most 0.5 % above the lowest, descend on all points,
    ending at a tenth of the tolerance; the lowest wins.

    Args:
        points: Any finite points; what is nearer than float32 can tell is the same.
        clusters: Groups wanted, >= 1. Groups found empty at the end of a descent start again at the points of the
            largest group that are farthest from the mean; the third time, they are dropped.
        restarts: Pairs of starts in the race, >= 1.
        iterations: Most steps of one descent, >= 1.
        tolerance: Fraction of the inertia, >= 0.
        generator: The only source of randomness; same state, same result, for any number of threads.

    Returns:
        The groups by decreasing number of points.

    Raises:
        DataError: No points, or points that are not finite.

    Source:
        Lloyd 1982. The rest is this package's, for speed. A start is a small sample in three times as many groups,
        merged as Ward 1963 does: more than every second one leads to the lowest valley known of real features, from
        k-means++ (Arthur and Vassilvitskii 2007) fewer do.
    """
    if not len(points):
        raise DataError("there is nothing to cluster: no points; give at least one frame with one cell")
    centre = points.float().mean(dim=0)
    if not centre.isfinite().all():  # the mean shows every NaN and infinity
        raise DataError("cannot cluster points that are not all finite; check the features")
    centred = points.float() - centre  # keeps squared distances exact far from the origin
    sample = _draw_sample(centred, _RACE_POINTS, generator)
    starts = _starts(centred, clusters, _STARTS * restarts, generator)
    race = _descend(sample, starts, iterations, tolerance)
    fine = _descend(centred, _valleys(race).to(centred.device), iterations, tolerance / 10)
    best = fine.inertia.argmin()
    centroids, assignment = _by_size(fine.centroids[best], fine.nearest[best])
    return Clustering(centroids + centre, assignment, fine.inertia[best].item(), int(fine.steps[best]))


class Descents(NamedTuple):
    """Where r descents ended."""

    centroids: Float[Tensor, "r m c"]
    nearest: Int64[Tensor, "r p"]
    """Index of each point's nearest centroid."""
    counts: Int64[Tensor, "r m"]
    """Points of each centroid."""
    inertia: Float[Tensor, " r"]
    steps: Int64[Tensor, " r"]


def descend(
    points: Float[Tensor, "p c"], starts: Float[Tensor, "r m c"], iterations: int, tolerance: float
) -> Descents:
    """Move centroids to the mean of their points until that gains little, on the CPU by the compiled kernel.

    Args:
        points: What is grouped; best with mean 0.
        starts: Where the m centroids of each of r descents begin.
        iterations: Most steps of one descent, >= 0.
        tolerance: A descent ends when a step lowers the inertia by no more than this fraction.

    Returns:
        The descents; a centroid without points stays where it is.
    """
    if points.device.type != "cpu":
        return descend_plain(points, starts, iterations, tolerance)
    from selfvos.ops.kernels import descent as kernel

    arrays = points.contiguous().numpy(), starts.contiguous().numpy()
    ends = kernel.descend(*arrays, iterations, tolerance, kernel_threads())
    return Descents(*(torch.from_numpy(array) for array in ends))


def descend_plain(
    points: Float[Tensor, "p c"], starts: Float[Tensor, "r m c"], iterations: int, tolerance: float
) -> Descents:
    """Move centroids as `descend` does, by torch alone, on any device; a descent goes on until all have ended."""
    square = points.square().sum()
    labels = torch.arange(starts.shape[1], device=points.device)[:, None]
    centroids, step = starts, 0
    previous = torch.full_like(starts[:, 0, 0], math.inf)
    while True:
        halves, nearest = _nearest(points, centroids)
        inertia = (square + 2 * halves.sum(dim=1)).clamp_min(0)
        members = (nearest[:, None] == labels).float()  # r m p
        counts = members.sum(dim=2)
        if step == iterations or (previous - inertia <= tolerance * inertia).all():
            return Descents(centroids, nearest, counts.long(), inertia, torch.full_like(nearest[:, 0], step))
        means = (members.flatten(0, 1) @ points).view_as(starts) / counts.clamp_min(1)[..., None]
        centroids = means.where(counts[..., None] > 0, centroids)
        previous, step = inertia, step + 1


def _descend(points: Tensor, starts: Tensor, iterations: int, tolerance: float) -> Descents:
    """Descend, and again from where empty centroids are moved to, as long as that may help."""
    ends = descend(points, starts, iterations, tolerance)
    for _ in range(_FAILURES - 1):
        hungry = (ends.counts == 0).any(dim=1).nonzero()[:, 0].tolist()
        if not hungry:
            break
        for run in hungry:
            _fill_empty(ends.centroids[run], points, ends.nearest[run], ends.counts[run])
        ends = descend(points, ends.centroids, iterations, tolerance)
    return ends


def _fit_on(t: int, config: ClusterConfig) -> Tensor:
    step = config.fit_every
    while step > 1 and math.ceil(t / step) < config.fit_frames:
        step -= 1
    return torch.arange(0, t, step)


def _points(features: Tensor, frames: Tensor, config: ClusterConfig) -> Tensor:
    chosen = features[frames.to(features.device)].float()
    return add_position(chosen, config.position_weight, config.position_mode, frames=frames).flatten(0, 2)


def _draw_sample(points: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return about every n-th point, on the CPU."""
    if len(points) <= size:
        return points.cpu()
    # Cells close in order look alike: one from each stretch tells more than as many from anywhere. Which one is drawn:
    # a fixed stride that divides the width would see a few columns only.
    within = torch.rand(size, generator=generator, device=generator.device).cpu()
    drawn = ((torch.arange(size) + within) * (len(points) / size)).long().clamp_max(len(points) - 1)
    return points[drawn.to(points.device)].cpu()


def _groups(clusters: int) -> int:
    return 3 * clusters + 1


def _starts(sample: Tensor, clusters: int, count: int, generator: torch.Generator) -> Tensor:
    """Find centroids to start from, `count` times: few points in many groups, merged into as many as are wanted."""
    from selfvos.ops.kernels import descent as kernel

    groups = _groups(clusters)
    size = (count, _GROUP_POINTS * groups)
    drawn = torch.randint(len(sample), size, generator=generator, device=generator.device).cpu()
    starts = []
    for few in sample[drawn]:
        ends = descend(few, few[None, :groups], _GROUP_STEPS, 0.0)
        starts.append(torch.from_numpy(kernel.merge(ends.centroids[0].numpy(), ends.counts[0].numpy(), clusters)))
    return torch.stack(starts)


def _valleys(race: Descents) -> Tensor:
    """Return the centroids of the descents that ended low, one for each valley."""
    sizes = race.counts.sort(dim=1).values / race.nearest.shape[1]
    kept: list[int] = []
    for run in race.inertia.argsort(stable=True).tolist():
        if race.inertia[run] > (1 + _NEAR_LOWEST) * race.inertia.min():
            break
        alike = (sizes[kept] - sizes[run]).abs().amax(dim=1) < _SAME_SIZES
        if not (alike & (race.inertia[run] < (1 + _SAME_INERTIA) * race.inertia[kept])).any():
            kept.append(run)
    return race.centroids[kept]


def _fill_empty(centroids: Tensor, points: Tensor, nearest: Tensor, counts: Tensor) -> None:
    """Move empty centroids, in place, to the farthest points of the largest cluster."""
    largest = counts.argmax()
    distances = (points - centroids[largest]).square().sum(dim=1).where(nearest == largest, -1)
    farthest = distances.argsort(descending=True, stable=True)
    for turn, empty in enumerate((counts == 0).nonzero()[:, 0].tolist()):
        centroids[empty] = points[farthest[turn % len(points)]]


def _by_size(centroids: Tensor, assignment: Tensor) -> tuple[Tensor, Tensor]:
    """Renumber clusters by decreasing size, without those that are empty."""
    counts = assignment.bincount(minlength=len(centroids))
    order = counts.argsort(descending=True, stable=True)
    order = order[: int(counts.count_nonzero())]
    rank = torch.zeros_like(counts)
    rank[order] = torch.arange(len(order), device=order.device)
    return centroids[order], rank[assignment]


def _nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Return half the squared distance to the nearest of m centroids, less half the point's square, and its index.

    Both for each of r sets of centroids.
    """
    runs, m, c = centroids.shape
    halves = centroids.square().sum(dim=2).view(-1, 1) / 2
    # Centroids first: the minimum over rows is taken several points at a time.
    scores = torch.addmm(halves, centroids.view(-1, c), points.T, alpha=-1)
    nearest = scores.view(runs, m, -1).min(dim=1)
    return nearest.values, nearest.indices
