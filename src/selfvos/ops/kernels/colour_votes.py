"""How much parts of matched cells are listened to, by their colours: loops that become vector instructions.

Patches of all matches of a cell lie one after the other, a plane each; a pixel's counterpart for a step is the pixel of
the same match that lies so much further on. See `selfvos.ops.kernels.label_fusion`.
"""

from typing import no_type_check

import numpy as np

from selfvos.ops.kernels.compiling import borrowing

_LOG2_E = np.float32(np.log2(np.e))
_LEAST = np.float32(-100)
"""Power of two below which votes are not followed."""
_POLYNOMIAL = (0.99999993, 0.69315297, 0.24015453, 0.0558236, 0.00899258, 0.00187623)
"""Of x, lowest power first, within 8e-8 of 2 ** x between 0 and 1; fitted at Chebyshev nodes."""
_TWO_TO = tuple(np.float32(number) for number in _POLYNOMIAL)


@borrowing
@no_type_check
def fill_costs(here, there, first, precision, step, costs, least):
    """Fill what each pixel's counterparts cost, which begin at a place, and lower the least cost."""
    plane = len(costs)
    for pixel in range(plane):
        red = here[pixel] - there[np.uint64(first + pixel)]
        green = here[np.uint64(plane + pixel)] - there[np.uint64(plane + first + pixel)]
        blue = here[np.uint64(2 * plane + pixel)] - there[np.uint64(2 * plane + first + pixel)]
        costs[pixel] = (red * red + green * green + blue * blue) * precision + step
        least[pixel] = min(least[pixel], costs[pixel])


@borrowing
@no_type_check
def turn_into_votes(costs, least, shares, whole, powers, total):
    """Turn costs into votes, and add those up: shares times e to the power of how far costs are below the least."""
    for pixel in range(len(costs)):
        exponent = max((least[pixel] - costs[pixel]) * _LOG2_E, _LEAST)
        whole[pixel] = np.int32(exponent - np.float32(1))
        left = exponent - np.float32(whole[pixel])
        whole[pixel] = (whole[pixel] + 127) << 23
        power = _TWO_TO[5]
        for degree in range(4, -1, -1):
            power = power * left + _TWO_TO[degree]
        costs[pixel] = power
    for pixel in range(len(costs)):
        costs[pixel] *= powers[pixel] * shares[pixel]
        total[pixel] += costs[pixel]


@borrowing
@no_type_check
def add_voted(votes, labels, first, mixed):
    """Add what the counterparts of pixels show, which begin at a place, by their votes."""
    for pixel in range(len(votes)):
        mixed[pixel] += votes[pixel] * labels[np.uint64(first + pixel)]


@borrowing
@no_type_check
def share_least(values, plane, end):
    """Give each pixel the least that one of the planes up to an end has there."""
    for first in range(plane, end, plane):
        for pixel in range(plane):
            values[pixel] = min(values[pixel], values[np.uint64(first + pixel)])
    for first in range(plane, end, plane):
        for pixel in range(plane):
            values[np.uint64(first + pixel)] = values[pixel]


@borrowing
@no_type_check
def add_planes(values, plane, end):
    """Add to the first plane the others up to an end."""
    for first in range(plane, end, plane):
        for pixel in range(plane):
            values[pixel] += values[np.uint64(first + pixel)]
