"""What stays with the ground while its object moves on is ground.

Ground that an object uncovers looks like nothing that memory knows. What it is taken for, it is found again as.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Complex128, Float, Float32, Float64, Int64
from scipy.ndimage import binary_dilation, median_filter, uniform_filter
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.ops.known_frames import KnownFrames
from selfvos.ops.matching import MatchConfig, match

LEAST_FRAMES = 6
"""Frames in which things move enough to be told apart."""
_MATCHED = 0.3  # cosine of whitened features
_LIKELIER = 0.35  # by how much more a cell is like ground that lay where it came from than like its object there
_SMOOTH = 5  # rows and columns of cells whose median move is taken
_STILL = 1  # cells along rows and columns by which moves with the ground differ at most
_PART, _GROUND, _OBJECT = 0.02, 0.1, 0.5  # probabilities: some of an object, next to none of any, an object
_FEW = 8  # cells of an object that say how it moved, at least
_SEEN = 10  # cells of ground that say how it moved, at least
_WIDE, _MANY, _NEXT = 7, 32, 5  # rows and columns of cells; how many of them are left behind; what goes with them
_ASKED, _TRIALS = 256, 100  # cells that are asked how they moved; pairs of them that are tried
_NEAR, _TRUSTED = 2.0, 0.35  # cells; share of those that move as one
_LARGER = 4 / 3  # what may seem to become larger or smaller by more may be two things


@dataclass(frozen=True, kw_only=True)
class LeaveConfig:
    """When a part of an object is left behind on the ground."""

    frames: int = 14
    """How far back it is looked where things were: in the oldest frame remembered that is not farther back; at least 6,
    before which nothing is decided."""
    every: int = 3
    """Frames from one look to the next while nothing is left behind; at least 1."""
    away_cells: float = 3.0
    """By how much its move must differ from that of its object, > 0."""
    around_cells: int = 8
    """How far around it ground is looked at, at least 1."""
    reach_cells: float = 36.0
    """How far things may have moved since, > 0; what moved farther says nothing."""

    def __post_init__(self) -> None:
        if self.frames < LEAST_FRAMES or self.every < 1 or self.around_cells < 1:
            found = f"{self.frames}, {self.every} and {self.around_cells}"
            least = f"frames must be at least {LEAST_FRAMES}, every and around_cells at least 1"
            raise UsageError(f"{least}, got {found}")
        if not (self.away_cells > 0 and math.isfinite(self.away_cells)):
            raise UsageError(f"away_cells must be > 0 and finite, got {self.away_cells}")
        if not self.reach_cells > 0:
            raise UsageError(f"reach_cells must be > 0, got {self.reach_cells}")

    def at_scale(self, factor: float) -> "LeaveConfig":
        """Return the same for a grid of cells that is finer by a factor."""
        away, around = self.away_cells * factor, max(1, round(self.around_cells * factor))
        return replace(self, away_cells=away, around_cells=around, reach_cells=self.reach_cells * factor)


class Seen(NamedTuple):
    """Frames, and where objects are in them."""

    features: Float[Tensor, "n h w c"]
    """Of unit length."""
    objects: Float[Tensor, "n o h w"]
    """Probability of each object in each cell."""


def left_behind(
    now: Seen, then: Seen, given: Seen, config: LeaveConfig, known: KnownFrames | None = None
) -> Bool[Tensor, "o h w"]:
    """Find parts of objects that moved with the ground around them while their object moved otherwise.

    Args:
        now: The frame.
        then: An earlier frame.
        given: Those whose masks are certain. What is most like an object there is that object wherever it moves: feet
            stand on the ground.
        config: When a part is left behind.
        known: Says of the earlier frame what it says of memory frames.

    Returns:
        The cells of those parts. None of an object of which fewer than a third of all cells move as one: turned,
        scaled and shifted.

    Source:
        This package's own.
    """
    moves = _moves(now.features[0], then.features, config.reach_cells, known)
    present, past = (seen.objects[0].float().cpu().numpy() for seen in (now, then))
    ground = moves.sure & (present.sum(axis=0) < _GROUND) & (past.sum(axis=0).ravel()[moves.index] < _GROUND)
    gone = np.zeros(present.shape, np.bool_)
    for number in range(len(present)):
        part = moves.sure & (present[number] > _PART)
        body = part & (present[number] > _OBJECT) & (past[number].ravel()[moves.index] > _OBJECT)
        if _is_one(moves.by_cells[part], config.away_cells) or (places := _with_body(moves.by_cells, body)) is None:
            continue
        apart = part & (abs(places - _places(moves.by_cells)) >= config.away_cells)
        cells = now.features[0][torch.from_numpy(apart)]
        apart[apart] = moves.score[apart] >= _likeness(cells, then.features[0], places[apart]) + _LIKELIER
        still = _with_ground(moves.by_cells, apart, ground, config)
        if still.sum() < _MANY:
            continue
        still[still] = ~_looks_given(now.features[0][torch.from_numpy(still)], given, number)
        gone[number] = _solid(still, part)
    return torch.from_numpy(gone).to(now.objects.device)


class _Moves(NamedTuple):
    """Where the cells of a frame were in an earlier one."""

    index: Int64[np.ndarray, "h w"]  # pyright: ignore[reportIncompatibleMethodOverride]
    """The cell that each is most like, row by row."""
    score: Float32[np.ndarray, "h w"]
    """How much."""
    sure: Bool[np.ndarray, "h w"]
    """Whether that counts."""
    by_cells: Float64[np.ndarray, "h w 2"]
    """By how many cells each was farther right and down: the median of its surroundings."""


def _moves(
    here: Float[Tensor, "h w c"], then: Float[Tensor, "1 h w c"], reach_cells: float, known: KnownFrames | None
) -> _Moves:
    (h, w), config = here.shape[:2], MatchConfig(top_k=1, radius_cells=reach_cells)
    found = match(here, then, torch.zeros(1, dtype=torch.bool, device=here.device), config, known)
    index, score = (values[:, 0].unflatten(0, (h, w)).cpu().numpy() for values in (found.index, found.score))
    by_cells = np.stack([index % w - np.arange(w), index // w - np.arange(h)[:, None]], axis=2).astype(np.float64)
    return _Moves(index, score, score > _MATCHED, median_filter(by_cells, (_SMOOTH, _SMOOTH, 1), mode="nearest"))


def _looks_given(cells: Float[Tensor, "m c"], given: Seen, number: int) -> Bool[np.ndarray, " m"]:
    """Say which cells look most like an object where its mask was given."""
    score, index = (cells @ given.features.flatten(0, 2).T).max(dim=1)
    return ((score > _MATCHED) & (given.objects[:, number].flatten()[index] > _OBJECT)).cpu().numpy()


def _solid(still: Bool[np.ndarray, "h w"], part: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the cells of a part around which most are still, in and next to where many are: legs are thin."""

    def around(cells: Bool[np.ndarray, "h w"], side: int) -> Float64[np.ndarray, "h w"]:
        return side**2 * uniform_filter(cells.astype(np.float64), side, mode="constant")

    many = binary_dilation(still & (around(still, _WIDE) > _MANY - 0.5), np.ones((_NEXT, _NEXT)))
    some = around(still, 3)
    return part & many & (some > 2.5) & (2 * some > around(part, 3) - 0.5)


def _is_one(by_cells: Float64[np.ndarray, "m 2"], away: float) -> bool:
    """Say whether all of some cells moved nearly alike, or none did."""
    return not len(by_cells) or bool((np.hypot(*(by_cells - np.median(by_cells, axis=0)).T) < away).all())


def _places(by_cells: Float64[np.ndarray, "h w 2"]) -> Complex128[np.ndarray, "h w"]:
    """Return where cells were, as complex numbers: right and down."""
    rows, columns = np.indices(by_cells.shape[:2])
    return columns + by_cells[..., 0] + 1j * (rows + by_cells[..., 1])


def _with_body(
    by_cells: Float64[np.ndarray, "h w 2"], body: Bool[np.ndarray, "h w"]
) -> Complex128[np.ndarray, "h w"] | None:
    """Return where cells would have been, had they moved as a body did; None where it did not move as one."""
    if body.sum() < _FEW:
        return None
    here, there = _places(np.zeros_like(by_cells)), _places(by_cells)
    turn, shift, share = similarity_transform(here[body], there[body])
    return turn * here + shift if share >= _TRUSTED else None


def _likeness(
    cells: Float[Tensor, "m c"], then: Float[Tensor, "h w c"], places: Complex128[np.ndarray, " m"]
) -> Float64[np.ndarray, " m"]:
    """Return how much cells are like what lies at places of a frame, or next to these; beyond it its border repeats."""
    h, w = then.shape[:2]
    rows = np.rint(np.imag(places)).astype(int)[:, None] + np.arange(9) // 3 - 1
    columns = np.rint(np.real(places)).astype(int)[:, None] + np.arange(9) % 3 - 1
    around = then[torch.from_numpy(rows.clip(0, h - 1)), torch.from_numpy(columns.clip(0, w - 1))]
    return torch.einsum("mc,mkc->mk", cells, around).amax(dim=1).double().cpu().numpy()


def similarity_transform(
    here: Complex128[np.ndarray, " n"], there: Complex128[np.ndarray, " n"]
) -> tuple[complex, complex, float]:
    """Return how most of some points were turned, scaled and shifted, as turn * here + shift, and their share.

    Pairs of points are tried, the best one is fitted anew to all that it explains (RANSAC). The same points give the
    same answer. Points are complex numbers: right and down.
    """
    rng = np.random.default_rng(0)
    if len(here) > _ASKED:
        some = rng.choice(len(here), _ASKED, replace=False)
        here, there = here[some], there[some]
    first, second = rng.integers(0, len(here), (2, _TRIALS))
    apart = here[first] - here[second]
    first, second, apart = first[apart != 0], second[apart != 0], apart[apart != 0]
    turns = np.append((there[first] - there[second]) / apart, 1)
    middle = complex(np.median(np.real(there - here)), np.median(np.imag(there - here)))
    shifts = np.append(there[first] - turns[:-1] * here[first], middle)
    near = abs(turns[:, None] * here + shifts[:, None] - there) < _NEAR
    near &= (abs(np.log(np.maximum(abs(turns), 1e-9))) < math.log(_LARGER))[:, None]
    best = near[near.sum(axis=1).argmax()]
    if not best.any():
        return 1 + 0j, 0j, 0.0
    centred, moved = here[best] - here[best].mean(), there[best] - there[best].mean()
    size = (abs(centred) ** 2).sum()
    turn = complex(np.vdot(centred, moved) / size) if size else 1 + 0j
    return turn, complex(there[best].mean() - turn * here[best].mean()), float(best.mean())


def _with_ground(
    by_cells: Float64[np.ndarray, "h w 2"],
    apart: Bool[np.ndarray, "h w"],
    ground: Bool[np.ndarray, "h w"],
    config: LeaveConfig,
) -> Bool[np.ndarray, "h w"]:
    """Return which of some cells moved as at least half of the ground around them did."""
    around = config.around_cells
    steps = np.arange(-around, around + 1)
    disc = np.argwhere(steps[:, None] ** 2 + steps**2 <= around**2)
    rows, columns = np.nonzero(apart)
    wide = np.pad(ground, around), np.pad(by_cells, ((around, around), (around, around), (0, 0)))
    places = rows[:, None] + disc[:, 0], columns[:, None] + disc[:, 1]
    seen = wide[0][places]
    alike = seen & (abs(wide[1][places] - by_cells[rows, columns][:, None]).max(axis=2) <= _STILL)
    still = np.zeros_like(apart)
    still[rows, columns] = (seen.sum(axis=1) >= _SEEN) & (2 * alike.sum(axis=1) >= seen.sum(axis=1))
    return still
