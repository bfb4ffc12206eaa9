"""Where errors are born: every wrong cell followed back, through memory, to the cell that was wrong first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32, Int64
from scipy import ndimage


@dataclass(frozen=True)
class Links:
    """The memory cells that the cells of one frame took their labels from."""

    source: Int64[np.ndarray, "m k"]
    """Number of the frame times m, plus the cell."""
    weight: Float[np.ndarray, "m k"]
    """Share of each in the label."""
    score: Float[np.ndarray, " m"]
    """How much the best of them resembles the cell."""


@dataclass(frozen=True)
class Births:
    """Cells that were wrong first, whose memory cells were right, and how many wrong cells descend from each."""

    frame: Int64[np.ndarray, " n"]
    cell: Int64[np.ndarray, " n"]
    found: Int32[np.ndarray, " n"]
    """Object that the cell was given, 0 for background."""
    truth: Int32[np.ndarray, " n"]
    """Object that it shows."""
    descendants: Int64[np.ndarray, " n"]
    """Wrong cells of this and later frames that got their label from it, itself among them."""
    score: Float64[np.ndarray, " n"]
    """How much its best memory cell resembles it."""
    outline: Float64[np.ndarray, " n"]
    """Cells to the nearest cell of another true object, or of background."""
    border: Int64[np.ndarray, " n"]
    """Cells to the border of the picture."""


def trace(
    found: Int32[np.ndarray, "t h w"], truth: Int32[np.ndarray, "t h w"], links: Sequence[Links | None]
) -> Births:
    """Follow every wrong cell back to the birth of its error.

    A wrong cell descends from the match that counts most among those that carried its label. Was that cell wrong in
    its own frame, with the same label, the error is older; else it is born here.

    Args:
        found: Object of every cell, as tracked.
        truth: Object that every cell shows.
        links: Of every frame; None where a mask was given.

    Source:
        This package's own.
    """
    frames, h, w = found.shape
    cells = h * w
    label, wrong = found.reshape(-1), (found != truth).reshape(-1)
    birth = np.full(frames * cells, -1, np.int64)
    for t, link in enumerate(links):
        at = np.flatnonzero(wrong[t * cells : (t + 1) * cells]) + t * cells
        birth[at] = at
        if link is not None and len(at):
            source = _strongest(link, at - t * cells, label, label[at])
            older = wrong[source] & (label[source] == label[at])
            birth[at] = np.where(older, birth[source], at)
    born, descendants = np.unique(birth[birth >= 0], return_counts=True)
    t, cell = born // cells, born % cells
    scores = [np.nan if (link := links[a]) is None else link.score[c] for a, c in zip(t, cell, strict=True)]
    score = np.array(scores, np.float64)
    outline = np.stack([_to_outline(frame) for frame in truth]).reshape(-1)[born]
    y, x = cell // w, cell % w
    border = np.minimum(np.minimum(y, h - 1 - y), np.minimum(x, w - 1 - x))
    return Births(t, cell, label[born], truth.reshape(-1)[born], descendants, score, outline, border)


def places(births: Births) -> dict[str, Bool[np.ndarray, " n"]]:
    """Say where each error is born; each counts in one place."""
    entering, close = births.border < _BORDER, births.outline <= _OUTLINE
    return {
        "border of the picture": entering,
        "at an outline": close & ~entering,
        "near an outline": (births.outline <= _NEAR) & ~close & ~entering,
        "elsewhere": (births.outline > _NEAR) & ~entering,
    }


_BORDER, _OUTLINE, _NEAR = 2, 1.5, 4.0


def _strongest(
    link: Links, cells: Int64[np.ndarray, " n"], label: Int32[np.ndarray, " r"], carried: Int32[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """Return which source of each cell counts most among those with the label that it got, else among all."""
    source, weight = link.source[cells], link.weight[cells]
    alike = weight + (label[source] == carried[:, None])
    return source[np.arange(len(cells)), alike.argmax(axis=1)]


def _to_outline(truth: Int32[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    found = np.zeros(truth.shape)
    for label in np.unique(truth):
        inside = truth == label
        if inside.all():
            return np.full(truth.shape, np.inf)
        found[inside] = np.asarray(ndimage.distance_transform_edt(inside))[inside]
    return found
