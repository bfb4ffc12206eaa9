"""The matcher's kernel where a processor multiplies bytes: candidates in 8 bits, the best of them in float32.

Features are rounded to 8 bits, and how far a cell was moved by that is known. So the product of two rounded cells says
between what bounds the product of the cells lies, whatever the features are. Cells that may belong into a query cell's
list, and no others, are kept as its candidates, and in the end multiplied in float32 as `window_topk` does it: the
answer is to the bit the same. Where channels come in the order of their variance, it may be guessed from the first ones
whether the others are worth it, and one match in thousands is missed; not where the processor multiplies tiles, which
takes all channels at once.

Where too many pairs may belong into lists, as with features that are alike everywhere, rows of memory cells are
multiplied in float32 at once.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Bool, Float32, Int64

from selfvos.ops.kernels.byte_tiles import begin_tiles, end_tiles
from selfvos.ops.kernels.compiling import borrowing, compiled
from selfvos.ops.kernels.rounding import RoundedFrames
from selfvos.ops.kernels.settling import search_settling, telling_spans
from selfvos.ops.kernels.sifting import (
    MOST_CREDIT,
    flush_all,
    no_candidates,
    no_marks,
    raise_floor,
    sift_rows,
    start_again,
)
from selfvos.ops.kernels.vectors import CELLS
from selfvos.ops.kernels.vectors import QUERIES as FLOAT_QUERIES
from selfvos.ops.kernels.window_topk import CHANNEL_STEP, _search_rows
from selfvos.ops.parallel import in_parallel

__all__ = ["CHANNEL_STEP", "Remembered", "RoundedFrames", "window_topk"]

_BANDS_PER_WORKER = 4
_BLOCK_COLUMNS = 36
_SURE = 1, 2, 4, 8  # frames after which floors are raised to what float32 says, and not rounded products
_MOST_CHANNELS = 2**14  # sums of products of more may overflow


class Remembered(NamedTuple):
    """Memory frames, and what is known of them from earlier searches."""

    memory: Float32[np.ndarray, "n h w c"]
    frames: RoundedFrames
    ids: Sequence[Hashable]
    """See `RoundedFrames.round`."""
    order: Sequence[int]
    """Places of the frames, those that are most like the query frame last, which saves time."""


def window_topk(
    query: Float32[np.ndarray, "h w c"],
    known: Remembered,
    reach: Int64[np.ndarray, "n h"],
    k: int,
    workers: int,
    telling: Bool[np.ndarray, "n h w"] | None = None,
) -> tuple[Float32[np.ndarray, "m k"], Int64[np.ndarray, "m k"]] | None:
    """Find the k memory cells that each query cell likes best: what `window_topk.window_topk` finds.

    Args:
        query: Features of the query frame, C-contiguous; c is a multiple of `CHANNEL_STEP`.
        known: Memory frames, C-contiguous.
        reach: Farthest column distance allowed in each memory frame at each row distance, -1 for none.
        k: Length of the lists, at least 1.
        workers: Threads to use, at least 1; the result does not depend on it.
        telling: Memory cells that matter. Where none of them is among the k that a query cell likes best, it may get
            other k that do not matter, each of which it likes better than all that do. None: all matter.

    Returns:
        The same; None where features are no numbers, too large, or too many for it.
    """
    h, w, c = query.shape
    memory = known.memory
    if c > _MOST_CHANNELS or memory.size >= 2**31 * c:
        return None
    rounded = known.frames.round(query, memory, known.ids, workers)
    if rounded is None:
        return None
    scores = np.full((h * w, k), -np.inf, dtype=np.float32)
    cells = np.full((h * w, k), np.iinfo(np.int64).max, dtype=np.int64)
    candidates = no_candidates(h * w, k, rounded)
    rows = -(-h // (workers * _BANDS_PER_WORKER))

    # Plain tuples: compiled code that is kept must not depend on the names of classes.
    given = query, memory, tuple(rounded), tuple(candidates), (reach, np.array(known.order[::-1], dtype=np.int64))
    spans = None if telling is None else telling_spans(telling)

    def search(top: int) -> None:
        band = top, min(top + rows, h)
        if spans is None or telling is None:
            search_band(*given, band, (scores, cells))
        elif not search_settling(*given, (telling.reshape(-1), spans), band, (scores, cells)):
            start_again(candidates, (scores, cells), slice(band[0] * w, band[1] * w), k)
            search_band(*given, band, (scores, cells))

    in_parallel(search, range(0, h, rows), workers)
    return scores, cells


@borrowing
@no_type_check
def _search_row(query, memory, rounded, candidates, ys, place, reach, lists, passed, credit):
    """Offer a memory row to the query cells of the rows y0..y1-1: sifted, or in float32 while sifting rests."""
    h, w, _ = query.shape
    frame, row = place
    y = sift_rows(query, memory, rounded, candidates, ys, place, (0, w), reach[frame], lists, passed, credit)
    if y == ys[1]:
        return
    for x0 in range(0, w, _BLOCK_COLUMNS):
        spans = (y, ys[1], x0, min(x0 + _BLOCK_COLUMNS, w))
        _search_rows(query, memory, spans, ((frame * h + row) * w, row), reach[frame], lists)
    for q in range(y * w, ys[1] * w):
        raise_floor(rounded, candidates, lists[0], q)
    credit[1] -= 1


@compiled
@no_type_check
def search_band(query, memory, rounded, candidates, visit, band, results):
    """Fill the lists of the query cells in rows top..bottom-1.

    `visit` says how far matches reach, and in which order frames are visited: the first one from near to far, since
    there cells are most alike, and raise the bar early. In the others all query cells of the band pass by while a row
    is in the first cache.
    """
    reach, order = visit
    top, bottom = band
    latest = order[0]
    _, h, w, _ = memory.shape
    lists = (results[0], results[1], np.empty(FLOAT_QUERIES * CELLS, dtype=np.float32))
    room = np.empty(results[0].shape[1], dtype=np.int32)
    passed = no_marks(), room
    credit = np.array([0, 0, 1, MOST_CREDIT])
    if rounded[9]:
        begin_tiles()
    for step in range(2 * h):
        far = (step + 1) // 2 if step % 2 else -(step // 2)
        if reach[latest, min(abs(far), h - 1)] < 0:
            continue
        for y in range(max(top, -far), min(bottom, h - far)):
            place = (latest, y + far)
            _search_row(query, memory, rounded, candidates, (y, y + 1), place, reach, lists, passed, credit)
    for i in range(1, len(order)):
        if i in _SURE:
            flush_all(query, memory, rounded, candidates, lists, (top * w, bottom * w), room)
        for row in range(h):
            _search_row(query, memory, rounded, candidates, band, (order[i], row), reach, lists, passed, credit)
    flush_all(query, memory, rounded, candidates, lists, (top * w, bottom * w), room)
    if rounded[9]:
        end_tiles()
