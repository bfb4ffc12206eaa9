"""Interpolate soft masks to pixels, decide and add up, row by row: no picture of probabilities is ever written."""

from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int32
from numba import njit

_BAND_ROWS = 64


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to keep compiled code in: every process compiles anew
        return njit(nogil=True)(function)


def label_map(
    maps: Float32[np.ndarray, "o1 h w"],
    rows: Float64[np.ndarray, " y"],
    columns: Float64[np.ndarray, " x"],
) -> tuple[Int32[np.ndarray, "y x"], Float64[np.ndarray, "3 o1"]]:
    """Find the strongest channel of every pixel.

    Args:
        maps: One channel per label, C-contiguous.
        rows: Where each pixel row lies among the rows of `maps`, in [0, h - 1].
        columns: Where each pixel column lies among the columns of `maps`, in [0, w - 1].

    Returns:
        The channel of each pixel, the lowest among equals; and for each channel the number of its pixels, the sum
        and the largest of its values there.
    """
    channel = np.empty((len(rows), len(columns)), dtype=np.int32)
    found = np.zeros((3, len(maps)), dtype=np.float64)
    for top in range(0, len(rows), _BAND_ROWS):
        _label_band(maps, rows[top : top + _BAND_ROWS], columns, channel[top : top + _BAND_ROWS], found)
    return channel, found


@_compiled
@no_type_check
def _label_band(maps, rows, columns, channel, found):
    labels, h, w = maps.shape
    left = np.empty(len(columns), dtype=np.int64)
    share = np.empty(len(columns), dtype=np.float32)
    for x in range(len(columns)):
        left[x] = min(int(columns[x]), w - 1)
        share[x] = columns[x] - left[x]
    strip = np.empty(w + 1, dtype=np.float32)
    best = np.empty(len(columns), dtype=np.float32)
    for y in range(len(rows)):
        upper = min(int(rows[y]), h - 1)
        lower = min(upper + 1, h - 1)
        down = np.float32(rows[y] - upper)
        for label in range(labels):
            above, below = maps[label, upper], maps[label, lower]
            for i in range(w):
                strip[i] = above[i] + down * (below[i] - above[i])
            strip[w] = strip[w - 1]
            for x in range(len(columns)):
                value = strip[left[x]] + share[x] * (strip[left[x] + 1] - strip[left[x]])
                if label == 0 or value > best[x]:
                    best[x] = value
                    channel[y, x] = label
        for x in range(len(columns)):
            label = channel[y, x]
            found[0, label] += 1
            found[1, label] += best[x]
            found[2, label] = max(found[2, label], best[x])
