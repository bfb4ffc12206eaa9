"""Patches of pictures as runs of numbers, so that loops over them become vector instructions.

A patch has side * side pixels, row by row, and a plane for each colour. A window within it is said by its first pixel:
its rows lie as far apart as those of the patch, so that all windows of a size are runs of the same length. What such a
run meets between the rows of the window, and between planes, means nothing.
"""

from functools import partial
from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from selfvos.ops.kernels.compiling import borrowing, compiled

COLOURS = 3


def inside_window(window: int, side: int) -> Float32[np.ndarray, " p"]:
    """Return 1 for what lies in the first window of a patch, and 0 beside it."""
    inside = np.zeros((COLOURS, side, side), np.float32)
    inside[:, :window, :window] = 1
    return np.ascontiguousarray(inside.ravel()[: np.flatnonzero(inside)[-1] + 1])


@borrowing
@no_type_check
def see_patch(pictures, frame, top, left, side, patch, first, plane):
    """Fill a patch from a place on, with so many numbers a plane; beyond the border of a picture its pixels repeat."""
    height, width = pictures.shape[1:3]
    for i in range(side):
        y = min(max(top + i, 0), height - 1)
        for j in range(side):
            x = min(max(left + j, 0), width - 1)
            patch[first] = pictures[frame, y, x, 0]
            patch[first + plane] = pictures[frame, y, x, 1]
            patch[first + 2 * plane] = pictures[frame, y, x, 2]
            first += 1


@partial(compiled, _nrt=False, fastmath={"reassoc"})  # in any order: what is added are whole numbers
@no_type_check
def sum_of_squares(here, there, first, inside):
    """Return how far apart the first window of a patch and any window of another are."""
    total = np.float32(0)
    for place in range(len(inside)):
        apart = here[place] - there[np.uint64(first + place)]
        total += apart * apart * inside[place]
    return total
