"""The search of `window_bytes` where only some memory cells matter: it ends early for query cells that are like none.

In a video most cells show background and are surrounded by it. What matters of their matches is that none shows an
object. So the cells that matter are searched first; whoever then has k better ones, none of which matters, is done.

Source:
    This package's own.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Int64

from selfvos.ops.kernels.byte_tiles import begin_tiles, end_tiles
from selfvos.ops.kernels.compiling import borrowing, compiled
from selfvos.ops.kernels.sifting import SETTLED, flush, flush_all, no_marks, offer, raise_floor, settle, sift_rows
from selfvos.ops.kernels.vectors import CELLS

_NEAR = 7  # rows of the latest frame, from the nearest on, that say what is likely to be found elsewhere
_STAKE = 2**21  # pairs: what may be lost before it is given up
_MOST = 0.2
"""Share of cells that matter above which nothing is won."""


def telling_spans(telling: Bool[np.ndarray, "n h w"]) -> Int64[np.ndarray, "n h 2"] | None:
    """Return the columns, from the first to behind the last, that cells which matter have in each row.

    None where there are so many that it is better to search for all at once.
    """
    if telling.mean() > _MOST:
        return None
    width, some = telling.shape[2], telling.any(axis=2)
    first, last = telling.argmax(axis=2), width - telling[:, :, ::-1].argmax(axis=2)
    return np.stack([np.where(some, first, 0), np.where(some, last, 0)], axis=2).astype(np.int64)


@compiled
@no_type_check
def search_settling(query, memory, rounded, candidates, visit, told, band, results):
    """Fill the lists of the query cells in rows top..bottom-1; return whether it was worth it, or nothing is done.

    `visit` is what `search_band` takes. `told` says which memory cells matter, and between which columns of each row
    they lie.
    """
    reach, order = visit
    telling, spans = told
    _, h, w, _ = memory.shape
    lists = (results[0], results[1], np.empty(3 * CELLS, dtype=np.float32))
    room = np.empty(results[0].shape[1], dtype=np.int32)
    passed = no_marks(), room
    credit = np.array([_STAKE, 0, 1, _STAKE])
    given = query, memory, rounded, candidates
    if rounded[9]:
        begin_tiles()
    for step in range(2 * h):  # all of what is near; of the rest what matters
        _search_latest(given, band, (order[0], step), step < _NEAR, spans, 0, reach, lists, passed, credit)
    for frame in order[1:]:
        for row in range(h):
            columns = spans[frame, row, 0], spans[frame, row, 1]
            if columns[0] < columns[1]:
                sift_rows(*given, band, (frame, row), columns, reach[frame], lists, passed, credit)
    _settle(given, telling, band, lists, room)
    for step in range(_NEAR, 2 * h):
        for part in (1, 2):
            _search_latest(given, band, (order[0], step), False, spans, part, reach, lists, passed, credit)
    for frame in order[1:]:
        _settle(given, telling, band, lists, room)
        for row in range(h):
            for columns in ((0, spans[frame, row, 0]), (spans[frame, row, 1], w)):
                if columns[0] < columns[1]:
                    sift_rows(*given, band, (frame, row), columns, reach[frame], lists, passed, credit)
    if rounded[9]:
        end_tiles()
    if credit[1] > 0:  # too many pairs pass, and some rows were left out
        return False
    flush_all(query, memory, rounded, candidates, lists, (band[0] * w, band[1] * w), room)
    return True


@borrowing
@no_type_check
def _search_latest(given, band, place, whole, spans, part, reach, lists, passed, credit):
    """Offer the row of the latest frame that is so many steps away to each row of query cells; `place` tells both.

    All of it if it is `whole`, or else the part that matters (0), what lies before it (1), or after (2).
    """
    query, memory, rounded, candidates = given
    _, h, w, _ = memory.shape
    latest, step = place
    far = (step + 1) // 2 if step % 2 else -(step // 2)
    if reach[latest, min(abs(far), h - 1)] < 0:
        return
    for y in range(max(band[0], -far), min(band[1], h - far)):
        left, right = spans[latest, y + far, 0], spans[latest, y + far, 1]
        columns = (0, w) if whole else ((left, right), (0, left), (right, w))[part]
        if columns[0] < columns[1]:
            row = (latest, y + far)
            sift_rows(
                query, memory, rounded, candidates, (y, y + 1), row, columns, reach[latest], lists, passed, credit
            )


@borrowing
@no_type_check
def _settle(given, telling, band, lists, room):
    """Settle the lists of those query cells that have k cells, none of which matters, better than all that do."""
    query, memory, rounded, candidates = given
    floors, w = candidates[4], memory.shape[2]
    for q in range(band[0] * w, band[1] * w):
        if floors[q] != SETTLED and _is_settled(query, memory, rounded, candidates, telling, lists, q, room):
            flush(query, memory, candidates, lists, q)
            settle(rounded, candidates, q)


@borrowing
@no_type_check
def _is_settled(query, memory, rounded, candidates, telling, lists, q, room):
    scores, cells, _ = lists
    numbers, counts = candidates[1], candidates[2]
    k = scores.shape[1]
    offer(query, memory, rounded, candidates, lists, q, room)
    if scores[q, 0] > -np.inf:  # some have been multiplied in full
        flush(query, memory, candidates, lists, q)
        raise_floor(rounded, candidates, scores, q)
    known = counts[q]
    for i in range(known):
        if telling[numbers[q, i]]:
            return False
    for i in range(k):
        if scores[q, i] > -np.inf:
            known += 1
            if telling[cells[q, i]]:
                return False
    return known >= k
