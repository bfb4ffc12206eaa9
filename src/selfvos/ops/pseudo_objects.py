"""From clusters to objects to learn from: cluster maps cleaned of crumbs, and clusters chosen as targets."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError

_TEST_SIDE = 64


@dataclass(frozen=True, kw_only=True)
class ObjectChoice:
    """Which clusters may stand for objects, and how many do."""

    min_area: float = 0.005
    """Least fraction of every frame that an object covers."""
    max_area: float = 0.60
    """Largest fraction of any frame that an object covers."""
    min_largest_component: float = 0.30
    """Least share of an object's area, in every frame, that hangs together."""
    objects: int = 2
    """Objects chosen per clip where there are as many candidates."""
    edge_px: int = 0
    """Outlines move to edges of the picture that are no further off than about this; 0: they end at feature cells."""

    def __post_init__(self) -> None:
        if not 0 < self.min_area <= self.max_area <= 1:
            raise UsageError(f"areas must be 0 < min_area <= max_area <= 1, got {self.min_area} and {self.max_area}")
        if not 0 <= self.min_largest_component <= 1:
            raise UsageError(f"min_largest_component must be 0 to 1, got {self.min_largest_component}")
        if self.objects < 1:
            raise UsageError(f"objects must be at least 1, got {self.objects}")
        if self.edge_px < 0:
            raise UsageError(f"edge_px must be at least 0, got {self.edge_px}")


def clean(maps: UInt8[Tensor, "t h w"], clusters: int, min_cells: int = 16) -> UInt8[Tensor, "t h w"]:
    """Smooth cluster maps in space and time, then dissolve crumbs into what surrounds them.

    Every cell takes the label that most of its 3 x 3 x 3 neighbourhood has, once; without a single winner it keeps
    its own. Then every 4-connected component of a frame with too few cells takes the label that most of its
    neighbour cells have (of equals the lowest), smaller components first, until there is none left.

    Args:
        maps: Cluster of each cell, below `clusters`.
        clusters: Number of labels.
        min_cells: Cells of the smallest component that may stay; 1 keeps all.

    Returns:
        Maps in which every component has `min_cells` cells or fills its frame.

    Raises:
        UsageError: A label that is not below `clusters`.
    """
    labels = maps.cpu().numpy()
    if labels.size and labels.max() >= clusters:
        raise UsageError(f"cluster {labels.max()} among {clusters} clusters; pass the number of clusters in the maps")
    return torch.from_numpy(_dissolve(_vote(labels, clusters), clusters, min_cells)).to(maps.device)


def choose_objects(
    maps: Int64[Tensor, "t y x"] | UInt8[Tensor, "t y x"], config: ObjectChoice, generator: torch.Generator
) -> tuple[Int64[Tensor, "t y x"], int]:
    """Draw clusters that look like objects and make them the targets of a clip.

    A candidate covers, in every frame, a fraction of the picture within the limits, and hangs together well enough.
    Areas are exact; how well it hangs together is told on a grid of at most 64 x 64 of the pixels, for speed.

    Args:
        maps: Cluster of each pixel in the frames that are used, cropped and flipped as they are; where it is
            negative (outside the picture) there is no cluster.
        config: What an object looks like and how many to draw.
        generator: The only source of randomness, on the CPU; candidates are equally likely.

    Returns:
        Object 1 to k of each pixel, 0 for all else, and k <= `config.objects`; k is 0 where nothing qualifies.

    Source:
        Li et al. 2023, arXiv:2303.10100, learn from clusters as objects; the released loader reads two objects and
        a background. How clusters become objects is not published: the rule is this package's.
    """
    labels = maps.cpu().numpy().astype(np.int64) + 1  # 0: no cluster
    candidates = _fitting_areas(labels, config)
    step = -(-max(labels.shape[1:]) // _TEST_SIDE)
    grid = labels[:, step // 2 :: step, step // 2 :: step]
    candidates = [label for label in candidates if _hangs_together(grid == label, config.min_largest_component)]
    order = torch.randperm(len(candidates), generator=generator)[: config.objects].tolist()
    targets = np.zeros(labels.max(initial=0) + 1, dtype=np.int64)
    for number, drawn in enumerate(order, start=1):
        targets[candidates[drawn]] = number
    return torch.from_numpy(targets[labels]).to(maps.device), len(order)


def known_at_first(masks: Int64[Tensor, "b t y x"]) -> Int64[Tensor, "b t y x"]:
    """Turn objects into background that the first frame of their clip does not show."""
    known = F.one_hot(masks[:, 0], int(masks.max()) + 1).flatten(1, 2).any(dim=1)
    return masks.masked_fill(~known.gather(1, masks.flatten(1)).view_as(masks), 0)


def _vote(labels: np.ndarray, clusters: int) -> np.ndarray:
    best = np.zeros(labels.shape, dtype=np.uint8)
    winner = labels.copy()
    for label in range(clusters):
        votes = (labels == label).astype(np.uint8)
        for axis in range(3):
            votes = ndimage.correlate1d(votes, np.ones(3), axis=axis, mode="constant")
        winner = np.where(votes == best, labels, np.where(votes > best, label, winner))
        best = np.maximum(best, votes)
    return winner.astype(np.uint8)


@dataclass(frozen=True)
class _Components:
    of_cell: np.ndarray
    """Component of each cell, no component reaching over frames."""
    label: np.ndarray
    size: np.ndarray


def _dissolve(labels: np.ndarray, clusters: int, min_cells: int) -> np.ndarray:
    while True:
        parts = _components(labels, clusters)
        a, b = _borders(parts.of_cell)
        # Components are merged in one order, smaller before larger, but all at once that do not touch.
        rank = np.empty(len(parts.size), dtype=np.int64)
        rank[np.argsort(parts.size, kind="stable")] = np.arange(len(rank))
        small = parts.size < min_cells
        waits = np.zeros(len(rank), dtype=bool)
        waits[a[small[b] & (rank[b] < rank[a])]] = True
        votes = np.bincount(a * clusters + parts.label[b], minlength=len(rank) * clusters).reshape(-1, clusters)
        moves = small & ~waits & votes.any(axis=1)
        if not moves.any():
            return labels
        labels = np.where(moves, votes.argmax(axis=1), parts.label)[parts.of_cell].astype(np.uint8)


def _components(labels: np.ndarray, clusters: int) -> _Components:
    of_cell = np.zeros(labels.shape, dtype=np.int64)
    owners: list[int] = []
    for label in range(clusters):
        found, count = _connect(labels == label)
        of_cell += np.where(found > 0, found + (len(owners) - 1), 0)
        owners += [label] * count
    return _Components(of_cell, np.array(owners, dtype=np.int64), np.bincount(of_cell.ravel(), minlength=len(owners)))


def _connect(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the 4-connected parts of every frame from 1; no part reaches over frames."""
    within_frames = ndimage.generate_binary_structure(3, 1)
    within_frames[[0, 2]] = False
    return cast(tuple[np.ndarray, int], ndimage.label(mask, structure=within_frames))


def _borders(of_cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the components on both sides of every border between two cells, each border from both sides."""
    pairs = [(of_cell[:, :-1], of_cell[:, 1:]), (of_cell[:, :, :-1], of_cell[:, :, 1:])]
    a = np.concatenate([first[first != second] for first, second in pairs])
    b = np.concatenate([second[first != second] for first, second in pairs])
    return np.concatenate([a, b]), np.concatenate([b, a])


def _fitting_areas(labels: np.ndarray, config: ObjectChoice) -> list[int]:
    t, kinds = len(labels), labels.max(initial=0) + 1
    frame = np.arange(t)[:, None, None]
    areas = np.bincount((labels + frame * kinds).ravel(), minlength=t * kinds).reshape(t, kinds) / labels[0].size
    fits = ((areas >= config.min_area) & (areas <= config.max_area)).all(axis=0)
    return [label for label in range(1, kinds) if fits[label]]


def _hangs_together(mask: np.ndarray, least_share: float) -> bool:
    for frame in mask:
        sizes = np.bincount(_connect(frame[None])[0].ravel())[1:]
        if not len(sizes) or sizes.max() < least_share * sizes.sum():
            return False
    return True
