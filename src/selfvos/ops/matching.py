"""Which memory cells answer for which query cells: restricted top-k affinity, never written out densely."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, Integer
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import DataError, UsageError
from selfvos.ops.kernels.loading import byte_kernel, gpu_kernels, window_kernel
from selfvos.ops.known_frames import KnownFrames, MatchCache
from selfvos.ops.threads import kernel_threads

_TILE = 8
_CHUNK = 2**21  # floats of memory that the portable version copies at a time
_SAMPLED_CELLS = 512  # enough to find 15 main directions
_LEAST_CELLS, _LEAST_CHANNELS, _LEAST_WINDOW = 256, 96, 150  # below, sketches cost more than they save
_LEAST_ENERGY = 0.5  # below, hardly a product could be told from its sketch to be small


@dataclass(frozen=True, kw_only=True)
class MatchConfig:
    """Which memory cells a query cell may match, how many it keeps and how sharply they are weighted."""

    top_k: int = 10
    """Memory cells kept for each query cell, over all frames together; 1 to 64."""
    radius_cells: float = 12.0
    """Size of the window around the query cell's own place, > 0; infinity lifts the restriction."""
    window: Literal["circle", "square"] = "circle"
    """Circle: Euclidean distance < radius. Square: row and column distance <= radius."""
    temperature: float = 0.05
    """Softmax temperature over the kept dot products, > 0; smaller is sharper."""
    exempt_permanent: bool = True
    """Permanent frames are matched everywhere; False restricts them to the window as well."""
    per_frame: bool = False
    """Keep top_k cells of every memory frame, weighted by a softmax of their own, and average over the frames."""
    normalise: Literal["kept", "frame"] = "kept"
    """The softmax runs over the kept cells, or over all cells of a frame, of which the kept ones have their share."""

    def __post_init__(self) -> None:
        if not 1 <= self.top_k <= 64:
            raise UsageError(f"top_k must be 1 to 64, got {self.top_k}")
        if not self.radius_cells > 0:
            raise UsageError(f"radius_cells must be > 0, got {self.radius_cells}; infinity lifts the restriction")
        if self.window not in ("circle", "square"):
            raise UsageError(f"window must be 'circle' or 'square', got {self.window!r}")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise UsageError(f"temperature must be > 0 and finite, got {self.temperature}")
        if self.normalise not in ("kept", "frame"):
            raise UsageError(f"normalise must be 'kept' or 'frame', got {self.normalise!r}")
        if self.normalise == "frame" and not (self.per_frame and self.radius_cells == math.inf):
            raise UsageError("normalise 'frame' goes with per_frame and an infinite radius_cells; or set 'kept'")


class Matches(NamedTuple):
    """The memory cells kept for each query cell, best first; the lower index wins among equal scores.

    The k columns are `top_k` over all frames or, if `per_frame` is set, one such group for every frame in turn.
    """

    index: Int64[Tensor, "m k"]  # pyright: ignore[reportIncompatibleMethodOverride]
    """Frame-major flat cell number (frame * h + row) * w + column; 0 where unused."""
    weight: Float[Tensor, "m k"]
    """Softmax of the scores over the temperature, `per_frame` divided by the number of frames; 0 where unused."""
    score: Float[Tensor, "m k"]
    """Dot products, descending; -inf where unused, that is where fewer than k cells may be matched."""


_Search = Callable[[slice], tuple[Float[Tensor, "m k"], Int64[Tensor, "m k"]]]
"""Finds the top k cells of some memory frames: scores as in `Matches`, and cell numbers within these frames."""


@torch.no_grad()
def match(
    query: Float[Tensor, "h w c"],
    memory: Float[Tensor, "n h w c"],
    permanent: Bool[Tensor, " n"],
    config: MatchConfig,
    known: KnownFrames | None = None,
) -> Matches:
    """Find each query cell's best memory cells, by the fastest means there is for where the features lie.

    float32 on the CPU takes the compiled kernel, with as many threads as `kernel_threads` says; the result
    does not depend on how many, nor on the shortcuts that the kernel takes, unless `known` allows guesses. A GPU takes
    the Triton kernel where there is one; everything else takes `match_plain`.

    Args:
        query: Features of the query frame; unit length for cosine similarity.
        memory: Features of n >= 1 memory frames of the same size; best contiguous, which saves a copy.
        permanent: Memory frames that `config.exempt_permanent` speaks of.
        config: Window, number of matches, temperature.
        known: Saves time where most memory frames have been matched before, where it says which are most alike, where
            not all of their cells matter, and where matches may be guessed; the result depends on the last two alone.

    Returns:
        The matches of the m = h * w query cells in row-major order, without gradient.

    Raises:
        UsageError: Sizes, types or devices that do not go together.
        DataError: A score is not finite: NaN or infinity among the features, or values too large to multiply.

    Source:
        Label propagation as in Jabri et al. 2020 (arXiv:2006.14613) and its successors. Departures: exactly k
        cells are kept among ties; a short memory is used as it is, not padded with copies of the first frame.
        `per_frame` and `normalise` follow the public test scripts of Li et al. 2019 (arXiv:1909.11895) and Wang et
        al. 2019 (arXiv:1903.07593).
    """
    _check(query, memory, permanent)
    if query.device.type == "cuda" and (kernel := gpu_kernels(query.device, query.dtype)):
        return _match_on_gpu(kernel, query, memory, permanent, config)
    in_kernel = query.device.type == "cpu" and query.dtype == torch.float32
    if in_kernel and (kernel := window_kernel()):
        return _match_on_cpu(kernel, query, memory, permanent, config, known)
    return match_plain(query, memory, permanent, config)


def _match_on_cpu(
    kernel: ModuleType,
    query: Float[Tensor, "h w c"],
    memory: Float[Tensor, "n h w c"],
    permanent: Bool[Tensor, " n"],
    config: MatchConfig,
    known: KnownFrames | None,
) -> Matches:
    h, w, c = query.shape
    reach = np.where(_is_free(permanent, config).numpy()[:, None], w - 1, window_reach(config, h, w))
    missing = -c % kernel.CHANNEL_STEP
    if missing:
        query, memory = F.pad(query, (0, missing)), F.pad(memory, (0, missing))
    query_array, memory_array = (tensor.detach().contiguous().numpy() for tensor in (query, memory))
    worth = _is_worth_sketching(h * w, c, reach)
    by_bytes = byte_kernel() if worth and known is not None and known.cache.leading else None
    axes = _main_axes(query_array, kernel.AXES) if worth and by_bytes is None else None
    if worth and axes is None and by_bytes is None:
        by_bytes = byte_kernel()

    def search(frames: slice) -> tuple[Tensor, Tensor]:
        last = reach[frames], config.top_k, kernel_threads()
        found = None
        if by_bytes:
            remembered = _remembered(by_bytes, memory_array, frames, known)
            found = by_bytes.window_topk(query_array, remembered, *last, _telling(frames, known, config))
        if found is None:
            found = kernel.window_topk(
                query_array, memory_array[frames], *last, axes, _order(len(memory_array), frames, known)
            )
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    return _collect(search, query, memory, config)


def _remembered(
    kernel: ModuleType, memory: Float32[np.ndarray, "n h w c"], frames: slice, known: KnownFrames | None
) -> tuple[Any, ...]:
    """Return some memory frames as the kernel that multiplies bytes takes them."""
    known = known or KnownFrames(MatchCache(), tuple(range(len(memory))))
    if known.cache.rounded is None:
        known.cache.rounded = kernel.RoundedFrames(leading=known.cache.leading)
    order = _order(len(memory), frames, known)
    return kernel.Remembered(memory[frames], known.cache.rounded, known.ids[frames], order)


def _order(count: int, frames: slice, known: KnownFrames | None) -> tuple[int, ...]:
    """Return in which order some of so many memory frames are best searched, from behind, by places among these."""
    places = range(count)[frames]
    order = places if known is None or known.order is None else known.order
    return tuple(place - places.start for place in order if place in places)


def _telling(frames: slice, known: KnownFrames | None, config: MatchConfig) -> Bool[np.ndarray, "n h w"] | None:
    """Return which cells of some memory frames matter."""
    if known is None or known.telling is None or config.normalise != "kept":
        return None
    return known.telling[frames].numpy()


def _match_on_gpu(
    kernel: ModuleType,
    query: Float[Tensor, "h w c"],
    memory: Float[Tensor, "n h w c"],
    permanent: Bool[Tensor, " n"],
    config: MatchConfig,
) -> Matches:
    h, w, _ = query.shape
    window = torch.from_numpy(window_reach(config, h, w)).to(query.device)
    reach = torch.where(_is_free(permanent, config)[:, None], w - 1, window)

    def search(frames: slice) -> tuple[Tensor, Tensor]:
        return kernel.window_topk(query.detach(), memory[frames].detach(), reach[frames], config.top_k)

    return _collect(search, query, memory, config)


@torch.no_grad()
def match_plain(
    query: Float[Tensor, "h w c"],
    memory: Float[Tensor, "n h w c"],
    permanent: Bool[Tensor, " n"],
    config: MatchConfig,
) -> Matches:
    """Find each query cell's best memory cells with torch alone, tile by tile, on any device.

    Scores are computed in float32 or better, whatever the features are stored in. For arguments, results and errors
    see `match`, whose oracle this is.
    """
    _check(query, memory, permanent)

    def search(frames: slice) -> tuple[Tensor, Tensor]:
        return _search_plainly(query, memory[frames], _is_free(permanent[frames], config), config)

    return _collect(search, query, memory, config)


def _collect(
    search: _Search, query: Float[Tensor, "h w c"], memory: Float[Tensor, "n h w c"], config: MatchConfig
) -> Matches:
    """Search all memory frames at once or one by one, and weight what is found."""
    n, h, w, _ = memory.shape
    parts = [slice(i, i + 1) for i in range(n)] if config.per_frame else [slice(0, n)]
    found = [search(part) for part in parts]
    score = torch.stack([score for score, _ in found], dim=1)  # m, parts, k
    index = torch.stack([index + part.start * h * w for part, (_, index) in zip(parts, found, strict=True)], dim=1)
    # Every memory cell lies in some window, and what is not a number comes first: the best scores tell of all.
    if not score[..., 0].isfinite().all():
        raise DataError(_describe_broken(query, memory))
    scaled = score / config.temperature
    if config.normalise == "kept":
        weight = scaled.softmax(dim=2) / len(parts)
    else:
        weight = (scaled - _frame_totals(query, memory, config.temperature)[..., None]).exp() / len(parts)
    index = index.masked_fill(score == -math.inf, 0)
    return Matches(index.flatten(1), weight.flatten(1), score.flatten(1))


def _frame_totals(
    query: Float[Tensor, "h w c"], memory: Float[Tensor, "n h w c"], temperature: float
) -> Float[Tensor, "m n"]:
    """Return the logarithm of the summed exponentials of all scores that a query cell has in a memory frame."""
    precise = torch.promote_types(query.dtype, torch.float32)
    cells, keys = query.flatten(0, 1).to(precise) / temperature, memory.flatten(1, 2).to(precise)
    parts = cells.split(max(1, _CHUNK // keys.shape[1]))
    return torch.stack([torch.cat([(part @ key.mT).logsumexp(dim=1) for part in parts]) for key in keys], dim=1)


def _search_plainly(
    query: Float[Tensor, "h w c"],
    memory: Float[Tensor, "n h w c"],
    free: Bool[Tensor, " n"],
    config: MatchConfig,
) -> tuple[Float[Tensor, "m k"], Int64[Tensor, "m k"]]:
    h, w = query.shape[:2]
    precise = torch.promote_types(query.dtype, torch.float32)
    score = query.new_full((h, w, config.top_k), -math.inf, dtype=precise)
    index = torch.zeros_like(score, dtype=torch.int64)
    everywhere = np.full(h, w - 1)
    for y in range(0, h, _TILE):
        for x in range(0, w, _TILE):
            tile = query[y : y + _TILE, x : x + _TILE].to(precise)
            merged = score.new_empty(tile.shape[:2].numel(), 0), index.new_empty(tile.shape[:2].numel(), 0)
            for frames, reach in ((~free, window_reach(config, h, w)), (free, everywhere)):
                for found in _match_tile(tile, (y, x), memory, frames.nonzero()[:, 0], reach):
                    kept = _keep(*found, config.top_k)
                    merged = _keep(*_by_index(*merged, *kept), config.top_k)
            used = merged[0].shape[1]
            score[y : y + _TILE, x : x + _TILE, :used] = merged[0].view(*tile.shape[:2], used)
            index[y : y + _TILE, x : x + _TILE, :used] = merged[1].view(*tile.shape[:2], used)
    score, order = score.flatten(0, 1).sort(dim=1, descending=True, stable=True)
    return score, index.flatten(0, 1).gather(1, order)


def _match_tile(
    tile: Float[Tensor, "y x c"],
    corner: tuple[int, int],
    memory: Float[Tensor, "n h w c"],
    frames: Int64[Tensor, " f"],
    reach: np.ndarray,
) -> Iterator[tuple[Float[Tensor, "q r"], Int64[Tensor, "q r"]]]:
    """Yield scores, -inf outside the window, and ascending cell numbers of a tile, some memory frames at a time."""
    h, w, c = memory.shape[1:]
    tall, wide = int((reach >= 0).sum()) - 1, int(reach.max())
    y, x = (torch.arange(start, start + size) for start, size in zip(corner, tile.shape, strict=False))
    my = torch.arange(max(0, corner[0] - tall), min(h, corner[0] + len(y) + tall))
    mx = torch.arange(max(0, corner[1] - wide), min(w, corner[1] + len(x) + wide))
    farthest = torch.from_numpy(reach)[(y[:, None] - my).abs()]  # y my
    outside = (x[:, None] - mx).abs()[None, :, None, :] > farthest[:, None, :, None]  # y x my mx
    outside = outside.reshape(len(y) * len(x), 1, -1).to(memory.device)
    places = (my[:, None] * w + mx).flatten().to(memory.device)
    size = max(1, _CHUNK // (len(places) * c))
    for part in frames.split(size) if len(frames) else ():
        keys = memory[part, my[0] : my[-1] + 1, mx[0] : mx[-1] + 1].flatten(0, 2).to(tile.dtype)
        scores = tile.flatten(0, 1) @ keys.mT
        scores.view(len(scores), len(part), -1).masked_fill_(outside, -math.inf)
        cells = (part[:, None] * (h * w) + places).flatten()
        yield scores, cells.expand_as(scores)


def _keep(
    scores: Float[Tensor, "q r"], cells: Int64[Tensor, "q r"], k: int
) -> tuple[Float[Tensor, "q s"], Int64[Tensor, "q s"]]:
    """Keep the k best of candidates in order of cell number, in that order; the first win among equals."""
    if scores.shape[1] <= k:
        return scores, cells
    best, places = scores.topk(k, dim=1)
    floor = best.amin(dim=1, keepdim=True)
    # topk picks any of the candidates that tie for the last place.
    tied = ((scores >= floor).sum(dim=1) > k) & (floor[:, 0] > -math.inf)
    if tied.any():
        places[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    places = places.sort(dim=1).values
    return scores.gather(1, places), cells.gather(1, places)


def _by_index(
    scores: Float[Tensor, "q r"],
    cells: Int64[Tensor, "q r"],
    more_scores: Float[Tensor, "q s"],
    more_cells: Int64[Tensor, "q s"],
) -> tuple[Float[Tensor, "q t"], Int64[Tensor, "q t"]]:
    cells, order = torch.cat([cells, more_cells], dim=1).sort(dim=1)
    return torch.cat([scores, more_scores], dim=1).gather(1, order), cells


def _describe_broken(query: Float[Tensor, "h w c"], memory: Float[Tensor, "n h w c"]) -> str:
    broken = ["the query frame"] if not query.isfinite().all() else []
    broken += [f"memory frame {i}" for i, frame in enumerate(memory) if not frame.isfinite().all()]
    if not broken:
        return "the features are too large to be matched in their number format; normalise them to unit length"
    return f"NaN or infinity in the features of {', '.join(broken)}; check the frames and the weights they came from"


def _is_worth_sketching(cells: int, channels: int, reach: np.ndarray) -> bool:
    window = 2 * np.maximum(2 * reach + 1, 0).sum(axis=1).mean()  # cells of an average frame, about
    return bool(cells >= _LEAST_CELLS and channels >= _LEAST_CHANNELS and window >= _LEAST_WINDOW)


def _main_axes(query: Float32[np.ndarray, "h w c"], count: int) -> Float32[np.ndarray, "a c"] | None:
    """Return directions at right angles that hold most of the features' energy, if there are such.

    They are found by subspace iteration, from some cells.
    """
    cells = torch.from_numpy(query).flatten(0, 1)
    cells = cells[:: max(1, len(cells) // _SAMPLED_CELLS)].contiguous()
    axes = cells[:: len(cells) // count][:count].T
    for _ in range(3):
        axes = torch.linalg.qr(cells.T @ (cells @ axes)).Q
    if not (cells @ axes).square().sum() > _LEAST_ENERGY * cells.square().sum():
        return None
    return axes.T.contiguous().numpy()


def window_reach(config: MatchConfig, h: int, w: int) -> Integer[np.ndarray, " h"]:
    """Return the farthest column distance inside the window at each row distance 0..h-1, -1 for none."""
    y, x = np.ogrid[:h, :w]
    far = np.sqrt(y * y + x * x) >= config.radius_cells if config.window == "circle" else None
    far = np.maximum(y, x) > config.radius_cells if far is None else far
    return w - 1 - far.sum(axis=1)


def _is_free(permanent: Bool[Tensor, " n"], config: MatchConfig) -> Bool[Tensor, " n"]:
    return permanent if config.exempt_permanent else torch.zeros_like(permanent)


def _check(query: Tensor, memory: Tensor, permanent: Tensor) -> None:
    shapes = f"query {tuple(query.shape)}, memory {tuple(memory.shape)}, permanent {tuple(permanent.shape)}"
    if query.ndim != 3 or memory.ndim != 4 or query.shape != memory.shape[1:] or permanent.shape != memory.shape[:1]:
        raise UsageError(f"matching takes query h w c, memory n h w c of the same h w c, permanent n; got {shapes}")
    if not (query.numel() and memory.numel()):
        raise UsageError(f"matching needs at least one memory frame, cell and channel; got {shapes}")
    if not (query.dtype == memory.dtype and query.dtype.is_floating_point and permanent.dtype == torch.bool):
        types = f"{query.dtype}, {memory.dtype} and {permanent.dtype}"
        raise UsageError(f"matching takes features of one floating type and a bool for each frame; got {types}")
    if not query.device == memory.device == permanent.device:
        devices = f"{query.device}, {memory.device} and {permanent.device}"
        raise UsageError(f"query, memory and permanent must lie on one device; they lie on {devices}")
