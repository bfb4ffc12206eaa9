"""Soft masks bent so that they win where they reach a level, in one pass each."""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32

from selfvos.ops.kernels.compiling import compiled


def mean_above(values: Float32[np.ndarray, "h w"], least: float) -> float:
    """Return the mean of the values above another one; that one where none is."""
    return float(_mean_above(values, np.float32(least)))


def bend(
    values: Float32[np.ndarray, "h w"],
    level: float,
    lines: Bool[np.ndarray, "h w"] | None = None,
    along: float = 0.5,
) -> Float32[np.ndarray, "h w"]:
    """Return values bent at a level, or along lines at another; see `selfvos.ops.levels.raised`."""
    found = np.empty_like(values)
    if lines is None:
        _bend(values, np.float32(level), found)
    else:
        _bend_along(values, np.float32(level), lines, np.float32(along), found)
    return found


@compiled
@no_type_check
def _mean_above(values, least):
    total, count = 0.0, 0
    for y in range(values.shape[0]):
        # A row at a time: sums of so few are exact enough in half the width.
        row, seen = np.float32(0), 0
        for x in range(values.shape[1]):
            above = values[y, x] > least
            row += values[y, x] if above else np.float32(0)
            seen += 1 if above else 0
        total += row
        count += seen
    return total / count if count else float(least)


@compiled
@no_type_check
def _bend(values, level, found):
    one = np.float32(1)
    up, on = (one - level) / level, level / (one - level)
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            value = values[y, x]
            found[y, x] = value * up if value < level else one - level + (value - level) * on


@compiled
@no_type_check
def _bend_along(values, level, lines, along, found):
    one = np.float32(1)
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            value, own = values[y, x], along if lines[y, x] else level
            if value < own:
                found[y, x] = value * (one - own) / own
            else:
                found[y, x] = one - own + (value - own) * own / (one - own)
