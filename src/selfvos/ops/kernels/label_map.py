"""Interpolate soft masks to pixels, decide and add up: no picture of probabilities is ever written."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int32

from selfvos.ops.kernels.compiling import compiled


def strengthen(
    values: Float32[np.ndarray, "h w"],
    places: tuple[Float64[np.ndarray, " y"], Float64[np.ndarray, " x"]],
    label: int,
    best: Float32[np.ndarray, "y x"],
    channel: Int32[np.ndarray, "y x"],
) -> None:
    """Give a channel the pixels where it is stronger than all that came before; among equals the lowest has them.

    Args:
        values: The channel, C-contiguous.
        places: Where rows and columns of pixels lie among those of the channel, in [0, h - 1] and [0, w - 1].
        label: Number of the channel.
        best: Value of each pixel so far; changed.
        channel: Channel of each pixel so far; changed.
    """
    _strengthen(values, *places, label, best, channel)


def add_up(
    best: Float32[np.ndarray, "y x"], channel: Int32[np.ndarray, "y x"], channels: int
) -> Float64[np.ndarray, "3 o1"]:
    """Return for each channel the number of its pixels, and the sum and the largest of their values."""
    found = np.zeros((3, channels), dtype=np.float64)
    _add_up(best, channel, found)
    return found


@compiled
@no_type_check
def _strengthen(values, rows, columns, label, best, channel):
    h, w = values.shape
    left = np.empty(len(columns), dtype=np.int64)
    share = np.empty(len(columns), dtype=np.float32)
    for x in range(len(columns)):
        left[x] = min(int(columns[x]), w - 1)
        share[x] = columns[x] - left[x]
    strip = np.empty(w + 1, dtype=np.float32)
    for y in range(len(rows)):
        upper = min(int(rows[y]), h - 1)
        lower = min(upper + 1, h - 1)
        down = np.float32(rows[y] - upper)
        above, below = values[upper], values[lower]
        for i in range(w):
            strip[i] = above[i] + down * (below[i] - above[i])
        strip[w] = strip[w - 1]
        for x in range(len(columns)):
            value = strip[left[x]] + share[x] * (strip[left[x] + 1] - strip[left[x]])
            if value > best[y, x] or (value == best[y, x] and label < channel[y, x]):
                best[y, x] = value
                channel[y, x] = label


@compiled
@no_type_check
def _add_up(best, channel, found):
    height, width = best.shape
    for y in range(height):
        for x in range(width):
            label = channel[y, x]
            found[0, label] += 1
            found[1, label] += best[y, x]
            found[2, label] = max(found[2, label], best[y, x])
