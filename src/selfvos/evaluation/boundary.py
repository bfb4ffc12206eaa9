"""Object boundaries in a map of object ids, and how many of their pixels lie near another boundary.

Labels are read once for all objects of a frame; after that only the few boundary pixels are touched, so
the cost hardly grows with the number of objects. Everything runs outside the interpreter lock.
"""

import math
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Int64, UInt8

from selfvos.ops.kernels.compiling import compiled

TOLERANCE = 0.008
"""Distance that still counts as a match, as a share of the frame's diagonal (DAVIS)."""


class Edges(NamedTuple):
    """Boundary pixels of o objects, by row and then by column."""

    starts: Int64[np.ndarray, "o rows"]
    """Where each row of each object begins in `columns`; one entry more than the frame has rows."""
    columns: Int64[np.ndarray, "edges"]
    """Column of every boundary pixel, ascending within a row."""

    @property
    def counts(self) -> Int64[np.ndarray, "o"]:
        """Number of boundary pixels of each object."""
        return self.starts[:, -1] - self.starts[:, 0]


def tolerance_px(shape: tuple[int, int], tolerance: float = TOLERANCE) -> int:
    """Return the radius in pixels within which boundary pixels match.

    Args:
        shape: Height and width of the frame.
        tolerance: Share of the diagonal when below 1, pixels from 1 on.

    Raises:
        ValueError: The tolerance is negative.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance must be >= 0, got {tolerance}")
    return math.ceil(tolerance if tolerance >= 1 else tolerance * math.hypot(*shape))


def trace(ids: UInt8[np.ndarray, "y x"], slot_of: Int64[np.ndarray, "ids"], count: int) -> Edges:
    """Find the boundary pixels of all objects in one reading of the map.

    Args:
        ids: Object ids, writable and C-contiguous.
        slot_of: For every id that can occur, 0 to leave it out or 1 to `count`, the object's position plus one.
        count: Number of objects o.

    Returns:
        Pixels whose membership differs from the right, lower or lower-right neighbour. In the last row only
        the right neighbour counts, in the last column only the lower one, in the last corner none.

    Source:
        DAVIS benchmark, boundary map of the F measure.
    """
    return Edges(*_trace(ids, slot_of, count))


def count_near(edges: Edges, others: Edges, radius: int) -> Int64[np.ndarray, "o"]:
    """Count each object's boundary pixels within `radius` pixels of the same object's other boundary.

    Args:
        edges: Boundaries to count on.
        others: Boundaries of the same objects to look for, in a frame of the same size.
        radius: Largest Euclidean distance, in pixels, that is near.

    Returns:
        Number of near pixels for each object.
    """
    # The disc of DAVIS' dilation, row by row: how far to either side it reaches.
    reach = np.array([math.isqrt(radius * radius - dy * dy) for dy in range(radius + 1)])
    return _count_near(*edges, *others, reach)


@compiled
@no_type_check
def _trace(ids, slot_of, count):
    height, width = ids.shape
    changes = _changes(ids)
    slots = np.zeros(4, np.int64)
    starts = np.zeros((count, height + 1), np.int64)
    for place in changes:
        y, x = divmod(place, width)
        for slot in slots[: _touching(ids, slot_of, y, x, slots)]:
            starts[slot - 1, y + 1] += 1
    total = 0
    for o in range(count):
        for y in range(height + 1):
            total += starts[o, y]
            starts[o, y] = total
    columns = np.empty(total, np.int64)
    free = starts.copy()
    for place in changes:
        y, x = divmod(place, width)
        for slot in slots[: _touching(ids, slot_of, y, x, slots)]:
            columns[free[slot - 1, y]] = x
            free[slot - 1, y] += 1
    return starts, columns


@compiled
@no_type_check
def _changes(ids):
    """Return the flat positions, ascending, where some object has a boundary pixel."""
    height, width = ids.shape
    found = np.empty(height * width, np.int64)
    count = 0
    # One row of comparisons without branches, eight of which are then skipped at a time: most rows are flat.
    differs = np.zeros((width + 7) // 8 * 8, np.uint8)
    eights = differs.view(np.uint64)
    for y in range(height if width else 0):
        row, below = ids[y], ids[min(y + 1, height - 1)]
        for x in range(width - 1):
            differs[x] = (row[x + 1] != row[x]) | (below[x] != row[x]) | (below[x + 1] != below[x])
        differs[width - 1] = row[width - 1] != below[width - 1]
        for i in range(len(eights)):
            if eights[i]:
                for x in range(8 * i, 8 * i + 8):
                    if differs[x]:
                        found[count] = y * width + x
                        count += 1
    return found[:count]


@compiled
@no_type_check
def _touching(ids, slot_of, y, x, slots):
    """Write the slots of the objects with a boundary pixel at (y, x) to `slots`; return how many they are."""
    down, right = min(y + 1, ids.shape[0] - 1), min(x + 1, ids.shape[1] - 1)
    count = 0
    for label in (ids[y, x], ids[y, right], ids[down, x], ids[down, right]):
        slot = slot_of[label]
        if slot and slot not in slots[:count]:
            slots[count] = slot
            count += 1
    return count


@compiled
@no_type_check
def _count_near(starts, columns, other_starts, other_columns, reach):
    near = np.zeros(len(starts), np.int64)
    for o in range(len(starts)):
        for y in range(starts.shape[1] - 1):
            for x in columns[starts[o, y] : starts[o, y + 1]]:
                near[o] += _is_near(other_starts[o], other_columns, y, x, reach)
    return near


@compiled
@no_type_check
def _is_near(starts, columns, y, x, reach):
    height = len(starts) - 1
    for dy in range(len(reach)):  # nearest rows first: most pixels find their match at once
        for row in (y - dy, y + dy):
            if 0 <= row < height:
                low, high = starts[row], starts[row + 1]
                while low < high:  # first column not left of the disc
                    middle = (low + high) // 2
                    if columns[middle] < x - reach[dy]:
                        low = middle + 1
                    else:
                        high = middle
                if low < starts[row + 1] and columns[low] <= x + reach[dy]:
                    return True
    return False
