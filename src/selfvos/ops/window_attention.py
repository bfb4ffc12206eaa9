"""Mix all cells of a window, not the best few: what the methods that rebuild colours carry labels with."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.errors import DataError, UsageError
from selfvos.ops.reconstruction import propagate_window, window_scores

_LARGEST_STEP = 4
"""Cells between two places of the coarse window, at most."""
_PEAK_WIDTH_CELLS = 1.0
"""Full width of a peak at half its height."""


@dataclass(frozen=True, kw_only=True)
class AttendConfig:
    """Which cells a query cell mixes, by a softmax over the windows of all memory frames together."""

    radius_cells: int = 12
    """A window reaches this many cells to each side, at least 1."""
    temperature: float = 1.0
    """Softmax temperature of the dot products, > 0."""
    recentre_after: int | None = None
    """In memory frames older than this many frames, windows move to where their cell seems to be; None: nowhere."""
    compact_above: float | None = None
    """Where the largest weight in a window is above this, two peaks replace all its weights; None: nowhere."""

    def __post_init__(self) -> None:
        if self.radius_cells < 1:
            raise UsageError(f"radius_cells must be at least 1, got {self.radius_cells}")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise UsageError(f"temperature must be > 0 and finite, got {self.temperature}")
        if self.recentre_after is not None and self.recentre_after < 1:
            raise UsageError(f"recentre_after must be at least 1 or None, got {self.recentre_after}")
        if self.compact_above is not None and not 0 <= self.compact_above < 1:
            raise UsageError(f"compact_above must be in [0, 1) or None, got {self.compact_above}")


@torch.no_grad()
def attend(
    query: Float[Tensor, "h w c"],
    memory: Float[Tensor, "n h w c"],
    labels: Float[Tensor, "r o"],
    ages: Sequence[int],
    config: AttendConfig,
) -> Float[Tensor, "m o"]:
    """Carry labels to every query cell from all cells of its window, in all memory frames.

    It takes n * m * (2 radius + 1)^2 numbers, and as many once more for one frame; all pairs of cells never exist.

    Args:
        query: Features of the query frame.
        memory: Features of n >= 1 memory frames.
        labels: What each of the r = n * h * w memory cells carries.
        ages: How many frames before the query frame each memory frame was.
        config: Window, temperature, and what is done to windows and weights.

    Returns:
        Weighted sums of labels in the m = h * w query cells. The weights sum to 1, but for those that peaks replaced.

    Raises:
        DataError: A score is not finite.

    Source:
        Lai and Xie 2019 (CorrFlow), Lai et al. 2020 (MAST) and Li et al. 2022 (LIIR), public test code. Departures:
        places off the map have no share, where MAST gives them one that carries nothing; every frame's labels are
        read from that frame's own windows, where MAST's code reads all moved windows by the last one's centres.
    """
    target, frames = query.movedim(2, 0).float(), memory.movedim(3, 1).float()
    windows = [_window(target, frame, age, config) for frame, age in zip(frames, ages, strict=True)]
    scores = [window.scores for window in windows]
    total = torch.stack([score.logsumexp(dim=0) for score in scores]).logsumexp(dim=0)
    if not total.isfinite().all():
        raise DataError("NaN, infinity or too large values in the features; check the frames and the weights")
    carried = torch.zeros_like(labels[: total.numel()])
    for window, values in zip(windows, labels.unflatten(0, memory.shape[:3]), strict=True):
        weight = (window.scores - total).exp()
        if config.compact_above is not None:
            weight = compact(weight, above=config.compact_above)
        carried += window.propagate(weight, values.movedim(2, 0)).flatten(1).T
    return carried


def compact(weight: Float[Tensor, "k h w"], *, above: float) -> Float[Tensor, "k h w"]:
    """Replace the weights of clear windows by two Gaussian peaks, one cell wide at half their height.

    Args:
        weight: Share of each place of a window, row by row.
        above: A window is clear where its largest weight is above this.

    Returns:
        Weights; in clear windows peaks at the two largest, whose heights are a softmax of these two.

    Source:
        Li et al. 2022 (LIIR), compactness prior, as the unofficial code tests with it.
    """
    side = round(weight.shape[0] ** 0.5)
    best, place = weight.topk(2, dim=0)
    steps = torch.arange(side, device=weight.device).view(-1, 1, 1)
    heat = torch.zeros_like(weight)
    for height, top in zip(best.softmax(dim=0), place, strict=True):
        down, across = (_bell(steps - at) for at in (top // side, top % side))  # side h w
        heat += height * (down[:, None] * across).flatten(0, 1)
    return torch.where(best[0] > above, heat, weight)


@dataclass(frozen=True)
class _Window:
    """Windows around the cells' own places."""

    scores: Float[Tensor, "k h w"]

    def propagate(self, weight: Float[Tensor, "k h w"], values: Float[Tensor, "o h w"]) -> Float[Tensor, "o h w"]:
        return propagate_window(weight[None], values[None])[0]


@dataclass(frozen=True)
class _MovedWindow:
    """Windows around other places, between cells, where features and labels are interpolated."""

    scores: Float[Tensor, "k h w"]
    centre: Float[Tensor, "2 h w"]

    def propagate(self, weight: Float[Tensor, "k h w"], values: Float[Tensor, "o h w"]) -> Float[Tensor, "o h w"]:
        shares = _spread(weight, self.centre)
        carried = torch.zeros_like(values)
        for share, (cells, inside) in zip(shares, _neighbours(self.centre, len(shares)), strict=True):
            carried += share * inside * values.flatten(1).index_select(1, cells.flatten()).view_as(values)
        return carried


def _window(
    target: Float[Tensor, "c h w"], frame: Float[Tensor, "c h w"], age: int, config: AttendConfig
) -> _Window | _MovedWindow:
    if config.recentre_after is None or age <= config.recentre_after:
        pair = target[None], frame[None]
        return _Window(window_scores(*pair, radius_cells=config.radius_cells, temperature=config.temperature)[0])
    centre = find_centres(target, frame, min(_LARGEST_STEP, age // config.recentre_after + 1), config)
    return _MovedWindow(_moved_scores(target, frame, centre, config), centre)


def find_centres(
    target: Float[Tensor, "c h w"], frame: Float[Tensor, "c h w"], step: int, config: AttendConfig
) -> Float[Tensor, "2 h w"]:
    """Find where each cell seems to be in an older frame: the mean of a wide window with gaps, weighted by likeness.

    Args:
        target: Features of the query frame.
        frame: Features of the older frame.
        step: Cells between two places of the window, at least 1.
        config: Radius, in steps, and temperature.

    Returns:
        Row and column, between cells and always on the map.

    Source:
        Lai et al. 2020 (MAST), public test code: one step more for every 15 frames of age, at most 4.
    """
    radius, (h, w) = config.radius_cells, target.shape[1:]
    side = 2 * radius + 1
    scores = target.new_empty(side**2, h, w)
    # Cells that differ by whole steps see each other: each such set is a small map with windows without gaps.
    for down in range(min(step, h)):
        for across in range(min(step, w)):
            part = (slice(None), slice(down, None, step), slice(across, None, step))
            pair = target[part][None], frame[part][None]
            scores[part] = window_scores(*pair, radius_cells=radius, temperature=config.temperature)[0]
    share = scores.softmax(dim=0).unflatten(0, (side, side))
    steps = torch.arange(-radius, radius + 1, device=target.device).mul(step).view(-1, 1, 1)
    rows = torch.arange(h, device=target.device)[:, None] + (share.sum(dim=1) * steps).sum(dim=0)
    columns = torch.arange(w, device=target.device) + (share.sum(dim=0) * steps).sum(dim=0)
    return torch.stack([rows.clamp(0, h - 1), columns.clamp(0, w - 1)])


def _moved_scores(
    target: Float[Tensor, "c h w"], frame: Float[Tensor, "c h w"], centre: Float[Tensor, "2 h w"], config: AttendConfig
) -> Float[Tensor, "k h w"]:
    queries, keys = (target / config.temperature).flatten(1).T.contiguous(), frame.flatten(1).T.contiguous()
    corners = [
        torch.linalg.vecdot(queries, keys.index_select(0, cells.flatten())).view_as(cells) * inside
        for cells, inside in _neighbours(centre, (2 * config.radius_cells + 2) ** 2)
    ]
    scores = _blend(torch.stack(corners), centre)
    return scores.masked_fill(~_on_map(centre, config.radius_cells), -math.inf)


def _neighbours(centre: Float[Tensor, "2 h w"], count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the flat numbers of the cells around each centre, row by row, and which of them are on the map."""
    side, (h, w) = math.isqrt(count), centre.shape[1:]
    first = centre.floor().long() - (side // 2 - 1)
    for down in range(side):
        for across in range(side):
            y, x = first[0] + down, first[1] + across
            yield y.clamp(0, h - 1) * w + x.clamp(0, w - 1), (y >= 0) & (y < h) & (x >= 0) & (x < w)


def _blend(corners: Float[Tensor, "k h w"], centre: Float[Tensor, "2 h w"]) -> Float[Tensor, "j h w"]:
    """Interpolate between the cells around each centre: a window one place smaller to each side comes out."""
    grid = corners.unflatten(0, (math.isqrt(corners.shape[0]), -1))
    y, x = centre - centre.floor()
    grid = grid[:-1] + y * (grid[1:] - grid[:-1])
    return (grid[:, :-1] + x * (grid[:, 1:] - grid[:, :-1])).flatten(0, 1)


def _spread(weight: Float[Tensor, "j h w"], centre: Float[Tensor, "2 h w"]) -> Float[Tensor, "k h w"]:
    """Hand each place's weight to the cells that it was interpolated between: `_blend` the other way."""
    side = math.isqrt(weight.shape[0])
    y, x = centre - centre.floor()
    grid = weight.new_zeros(side + 1, side + 1, *weight.shape[1:])
    places = weight.unflatten(0, (side, side))
    for down, vertical in ((0, 1 - y), (1, y)):
        for across, horizontal in ((0, 1 - x), (1, x)):
            grid[down : down + side, across : across + side] += places * (vertical * horizontal)
    return grid.flatten(0, 1)


def _on_map(centre: Float[Tensor, "2 h w"], radius: int) -> Tensor:
    h, w = centre.shape[1:]
    steps = torch.arange(-radius, radius + 1, device=centre.device).view(-1, 1, 1)
    rows, columns = centre[0] + steps, centre[1] + steps
    inside = ((rows >= 0) & (rows <= h - 1))[:, None] & ((columns >= 0) & (columns <= w - 1))
    return inside.flatten(0, 1)


def _bell(distance: Tensor) -> Tensor:
    return torch.exp(-4 * math.log(2) * (distance / _PEAK_WIDTH_CELLS) ** 2)
