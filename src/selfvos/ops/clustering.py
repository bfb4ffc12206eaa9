"""Space-time clustering: the cells of a whole video in a few groups, without labels."""

import hashlib
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from selfvos.errors import DataError, UsageError
from selfvos.ops.position_code import PositionMode, add_position

_RACE_POINTS = 4096
_FAILURES = 3
_CHUNK_CELLS = 16384


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How the cells of one video are grouped."""

    clusters: int = 5
    """Groups per video, 1 to 255; a video with fewer distinct cells gets fewer."""
    restarts: int = 3
    """Seedings that compete."""
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
    """Steps of the race and of the descent on all points together."""


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
    restarts: int = 3,
    iterations: int = 50,
    tolerance: float = 1e-4,
    generator: torch.Generator,
) -> Clustering:
    """Group points so that the sum of squared distances to the group's mean is small.

    Restarts race on a random sample of the points (4096 of them, or 256 per cluster where that is more); the one with
    the lowest inertia there descends on all points, ending at a tenth of the tolerance.

    Args:
        points: Any finite points; what is nearer than float32 can tell is the same.
        clusters: Groups wanted, >= 1. A group found empty starts again at the point of the largest group that is
            farthest from the mean; the third time, it is dropped.
        restarts: Seedings in the race, >= 1.
        iterations: Most steps of one descent, >= 1.
        tolerance: Fraction of the inertia, >= 0.
        generator: The only source of randomness; same state, same result.

    Returns:
        The groups by decreasing number of points.

    Raises:
        DataError: No points, or points that are not finite.

    Source:
        Lloyd 1982; greedy k-means++ seeding, Arthur and Vassilvitskii 2007. The race on a sample is this package's,
        for speed: restarts differ in the valley they end in, and a sample shows which is deep.
    """
    if not len(points):
        raise DataError("there is nothing to cluster: no points; give at least one frame with one cell")
    centre = points.float().mean(dim=0)
    if not centre.isfinite().all():  # the mean shows every NaN and infinity
        raise DataError("cannot cluster points that are not all finite; check the features")
    centred = points.float() - centre  # keeps the expanded squared distances exact far from the origin
    sample = _draw_sample(centred, max(_RACE_POINTS, 256 * clusters), generator)
    starts = torch.stack([_seed(sample, clusters, generator) for _ in range(restarts)])
    race = _descend(sample, starts, iterations, tolerance)
    fine = _descend(centred, race.centroids[None], iterations, tolerance / 10)
    centroids, assignment = _by_size(fine.centroids, _nearest(centred, fine.centroids[None])[1][0])
    inertia = centred.sub_(centroids[assignment]).square_().sum().item()
    return Clustering(centroids + centre, assignment, inertia, race.iterations + fine.iterations)


@dataclass(frozen=True)
class _Descent:
    centroids: Tensor
    inertia: float
    iterations: int


def _fit_on(t: int, config: ClusterConfig) -> Tensor:
    step = config.fit_every
    while step > 1 and math.ceil(t / step) < config.fit_frames:
        step -= 1
    return torch.arange(0, t, step)


def _points(features: Tensor, frames: Tensor, config: ClusterConfig) -> Tensor:
    chosen = features[frames.to(features.device)].float()
    return add_position(chosen, config.position_weight, config.position_mode, frames=frames).flatten(0, 2)


def _draw_sample(points: Tensor, size: int, generator: torch.Generator) -> Tensor:
    if len(points) <= size:
        return points
    # Drawn, not every n-th: a stride that divides the width would see a few columns only.
    drawn = torch.randperm(len(points), generator=generator, device=generator.device)[:size]
    return points[drawn.to(points.device)]


def _seed(points: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """Choose starting centroids among the points, each likely to be far from those before (greedy k-means++)."""
    trials = 2 + int(math.log(clusters))
    norms = points.square().sum(dim=1)
    drawn = torch.randint(len(points), (1,), generator=generator).to(points.device)
    chosen = [points[drawn]]
    closest = _squared_distances(points[drawn], points, norms)[0]
    for _ in range(clusters - 1):
        # Drawn on the CPU: a running sum on a GPU is not the same from run to run.
        ladder = closest.cpu().cumsum(dim=0)
        height = torch.rand(trials, generator=generator) * ladder[-1]
        drawn = torch.searchsorted(ladder, height, right=True).clamp_max(len(points) - 1).to(points.device)
        after = torch.minimum(closest, _squared_distances(points[drawn], points, norms))
        best = after.sum(dim=1).argmin()
        closest = after[best]
        chosen.append(points[drawn[best]][None])
    return torch.cat(chosen)


def _descend(points: Tensor, starts: Tensor, iterations: int, tolerance: float) -> _Descent:
    """Move centroids to the mean of their points until that gains little, from r starts at once; keep the best."""
    square = points.square().sum()
    labels = torch.arange(starts.shape[1], device=points.device)[:, None]
    failures = torch.zeros_like(starts[..., 0])  # r m
    previous = torch.full_like(failures[:, 0], math.inf)
    over = torch.zeros_like(previous, dtype=torch.bool)
    centroids, step = starts, 0
    inertia = previous
    for step in range(iterations + 1):
        halves, nearest = _nearest(points, centroids)
        inertia = (square + 2 * halves.sum(dim=1)).clamp_min(0)
        members = (nearest[:, None] == labels).float()  # r m p
        counts = members.sum(dim=2)
        settled = (counts > 0) | (failures == _FAILURES)
        over |= settled.all(dim=1) & (previous - inertia <= tolerance * inertia)
        if step == iterations or over.all():
            break
        centroids = (members.flatten(0, 1) @ points).view_as(starts) / counts.clamp_min(1)[..., None]
        for run in (counts == 0).any(dim=1).nonzero()[:, 0].tolist():
            _fill_empty(centroids[run], failures[run], points, nearest[run], counts[run])
        previous = inertia.where(settled.all(dim=1), math.inf)
    best = inertia.argmin()
    return _Descent(centroids[best], inertia[best].item(), step)


def _fill_empty(centroids: Tensor, failures: Tensor, points: Tensor, nearest: Tensor, counts: Tensor) -> None:
    """Move empty centroids, in place, to the farthest points of the largest cluster, or away when that fails often."""
    largest = counts.argmax()
    distances = (points - centroids[largest]).square().sum(dim=1).where(nearest == largest, -1)
    farthest = distances.argsort(descending=True, stable=True)
    for turn, empty in enumerate((counts == 0).nonzero()[:, 0].tolist()):
        failures[empty] = (failures[empty] + 1).clamp_max(_FAILURES)
        centroids[empty] = points[farthest[turn % len(points)]]
        if failures[empty] == _FAILURES:
            centroids[empty] = 10 * points.abs().max() + 1  # no point is nearest to it: it stays empty for good


def _by_size(centroids: Tensor, assignment: Tensor) -> tuple[Tensor, Tensor]:
    """Renumber clusters by decreasing size, without those that are empty."""
    counts = assignment.bincount(minlength=len(centroids))
    order = counts.argsort(descending=True, stable=True)
    order = order[: int(counts.count_nonzero())]
    rank = torch.zeros_like(counts)
    rank[order] = torch.arange(len(order), device=order.device)
    return centroids[order], rank[assignment]


def _squared_distances(some: Tensor, points: Tensor, norms: Tensor) -> Tensor:
    distances = torch.addmm(some.square().sum(dim=1, keepdim=True) + norms, some, points.T, alpha=-2)
    # Twins must be at distance 0, or rounding errors would be drawn as far points.
    return distances.where(distances > 1e-5 * norms.max(), 0)


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
