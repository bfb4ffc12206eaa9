"""Which clusters of a video are things rather than what they stand before: told from where they lie."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from scipy import ndimage

from selfvos.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Objectness:
    """What a thing looks like."""

    objects: int = 5
    """Most objects, 1 to 255."""
    max_border: float = 0.2
    """Largest share of the frames' border that an object may take: scenery runs out of the picture."""
    min_area: float = 0.005
    """Least share of the frames that an object covers."""
    max_area: float = 0.5
    """Largest share of the frames that an object covers."""
    min_frames: float = 0.5
    """Least share of the frames in which some of an object is seen."""

    def __post_init__(self) -> None:
        if not 1 <= self.objects <= 255:
            raise UsageError(f"objects must be 1 to 255, got {self.objects}")
        if not 0 < self.min_area <= self.max_area <= 1:
            raise UsageError(f"areas must be 0 < min_area <= max_area <= 1, got {self.min_area} and {self.max_area}")
        if not (0 <= self.max_border <= 1 and 0 <= self.min_frames <= 1):
            raise UsageError("max_border and min_frames are shares, 0 to 1")


def things(maps: UInt8[np.ndarray, "t h w"], config: Objectness) -> UInt8[np.ndarray, "t h w"]:
    """Turn cluster maps into object maps.

    The cluster that takes most of the border is background, and so is every other one that takes more of it than
    `max_border`. What is left of a cluster falls into parts that hang together in space and time; a part is an object
    where its area fits and it is seen long enough. Those that touch the border least come first, larger before
    smaller. Where nothing passes, the part that comes nearest (least border, then largest) is the one object: a
    video without any is no use to who asked for one.

    Args:
        maps: Cluster of each cell, one map a frame, cleaned of crumbs.
        config: What a thing looks like.

    Returns:
        Object 1 to k of each cell, best first, 0 for all else.

    Source:
        The rule is this package's; that border cells tell background is the prior of Zhu et al. 2014 (saliency).
    """
    rim = _rim(maps.shape)
    border = np.bincount(maps[rim], minlength=int(maps.max()) + 1) / max(1, rim.sum())
    scenery = border > config.max_border
    scenery[border.argmax()] = True
    parts, count = _parts(np.where(scenery[maps], 0, maps.astype(np.int64) + 1))
    if not count:
        return np.zeros_like(maps)
    area, edge, seen = _measures(parts, count, rim)
    fits = (area >= config.min_area) & (area <= config.max_area) & (seen >= config.min_frames)
    fits &= edge <= config.max_border
    order = np.lexsort((-area, np.round(edge, 2)))
    chosen = [part for part in order if fits[part]][: config.objects] or [order[0]]
    table = np.zeros(count + 1, np.uint8)
    for number, part in enumerate(chosen, start=1):
        table[part + 1] = number
    return table[parts]


def _rim(shape: tuple[int, ...]) -> Bool[np.ndarray, "t h w"]:
    rim = np.zeros(shape, bool)
    rim[:, [0, -1]] = True
    rim[:, :, [0, -1]] = True
    return rim


def _parts(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Number what hangs together over space and time from 1, each label on its own."""
    # Something that moves by more than itself from frame to frame is still one thing: diagonals in time count.
    near = ndimage.generate_binary_structure(3, 1)
    near[[0, 2]] = True
    parts, count = np.zeros(labels.shape, np.int64), 0
    for label in np.unique(labels[labels > 0]):
        found, number = ndimage.label(labels == label, structure=near)  # pyright: ignore[reportGeneralTypeIssues]
        parts += np.where(found > 0, found + count, 0)
        count += number
    return parts, count


def _measures(
    parts: np.ndarray, count: int, rim: np.ndarray
) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """Return, for each part, its share of all cells, of the border, and of the frames that show it."""
    area = np.bincount(parts.ravel(), minlength=count + 1)[1:] / parts.size
    edge = np.bincount(parts[rim], minlength=count + 1)[1:] / rim.sum()
    seen = np.stack([np.bincount(frame.ravel(), minlength=count + 1)[1:] > 0 for frame in parts]).mean(axis=0)
    return area, edge, seen
