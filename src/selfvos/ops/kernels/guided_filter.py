"""The guided filter on the CPU in running sums: the time does not depend on the radius, and no matrix is solved."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from selfvos.ops.kernels.label_map import _compiled
from selfvos.ops.kernels.window_topk import _in_parallel

_COARSE = 2


def guided_filter(
    frame: Float32[np.ndarray, "3 y x"],
    masks: Float32[np.ndarray, "o y x"],
    radius: int,
    epsilon: float,
    workers: int = 1,
) -> Float32[np.ndarray, "o y x"]:
    """Redraw masks as linear functions of colour; see `selfvos.ops.guided_filter`.

    Args:
        frame: RGB in [0, 1], C-contiguous, both sides at least 2.
        masks: Any number, at the same size, C-contiguous.
        radius: Windows reach so far to each side, in pixels of half the size, at least 1.
        epsilon: Variance of colour below which a window counts as even, > 0.
        workers: Threads to use, at least 1.
    """
    small = _halve(frame)
    mean, inverse = _explain_colours(small, radius, np.float64(epsilon))
    found = np.empty_like(masks)

    def redraw(place: int) -> None:
        planes = _explain(small, _halve(masks[place : place + 1])[0], mean, inverse, radius)
        _apply(frame, planes, found[place])

    _in_parallel(redraw, range(len(masks)), workers)
    return found


@_compiled
@no_type_check
def _halve(maps):
    """Average over squares of 2 x 2 pixels; an odd last row or column is left out."""
    c, height, width = maps.shape
    h, w = height // _COARSE, width // _COARSE
    small = np.empty((c, h, w), dtype=np.float32)
    for k in range(c):
        for y in range(h):
            upper, lower = maps[k, 2 * y], maps[k, 2 * y + 1]
            for x in range(w):
                total = upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]
                small[k, y, x] = np.float32(0.25) * total
    return small


@_compiled
@no_type_check
def _box(maps, radius):
    """Average over square windows, cut off at the border, by sums of columns and then of rows."""
    c, h, w = maps.shape
    out = np.empty((c, h, w), dtype=np.float32)
    column, until = np.zeros(w, dtype=np.float64), np.zeros(w + 1, dtype=np.float64)
    inside, outside = min(radius, w), max(min(radius, w), w - radius)
    for k in range(c):
        column[:] = 0
        for y in range(min(radius, h)):
            for x in range(w):
                column[x] += maps[k, y, x]
        for y in range(h):
            if y + radius < h:
                for x in range(w):
                    column[x] += maps[k, y + radius, x]
            if y > radius:
                for x in range(w):
                    column[x] -= maps[k, y - radius - 1, x]
            rows = min(h, y + radius + 1) - max(0, y - radius)
            for x in range(w):
                until[x + 1] = until[x] + column[x]
            for x in range(inside):
                right = min(w, x + radius + 1)
                out[k, y, x] = until[right] / (rows * right)
            share = 1 / (rows * (2 * radius + 1))
            for x in range(inside, outside):
                out[k, y, x] = (until[x + radius + 1] - until[x - radius]) * share
            for x in range(outside, w):
                out[k, y, x] = (until[w] - until[x - radius]) / (rows * (w - x + radius))
    return out


@_compiled
@no_type_check
def _explain_colours(small, radius, epsilon):
    """Return each window's mean colour, and the inverse of its covariance: rr, rg, rb, gg, gb, bb."""
    _, h, w = small.shape
    products = np.empty((9, h, w), dtype=np.float32)
    for y in range(h):
        for x in range(w):
            r, g, b = small[0, y, x], small[1, y, x], small[2, y, x]
            products[0, y, x], products[1, y, x], products[2, y, x] = r, g, b
            products[3, y, x], products[4, y, x], products[5, y, x] = r * r, r * g, r * b
            products[6, y, x], products[7, y, x], products[8, y, x] = g * g, g * b, b * b
    means = _box(products, radius)
    inverse = np.empty((6, h, w), dtype=np.float32)
    for y in range(h):
        for x in range(w):
            r, g, b = np.float64(means[0, y, x]), np.float64(means[1, y, x]), np.float64(means[2, y, x])
            rr, rg, rb = means[3, y, x] - r * r + epsilon, means[4, y, x] - r * g, means[5, y, x] - r * b
            gg, gb, bb = means[6, y, x] - g * g + epsilon, means[7, y, x] - g * b, means[8, y, x] - b * b + epsilon
            first, second, third = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
            share = 1 / (rr * first + rg * second + rb * third)
            inverse[0, y, x], inverse[1, y, x], inverse[2, y, x] = first * share, second * share, third * share
            inverse[3, y, x], inverse[4, y, x] = (rr * bb - rb * rb) * share, (rg * rb - rr * gb) * share
            inverse[5, y, x] = (rr * gg - rg * rg) * share
    return means[:3], inverse


@_compiled
@no_type_check
def _explain(small, mask, mean, inverse, radius):
    """Return what to multiply colours with, and what to add, to get the mask: the mean over all windows of a pixel."""
    h, w = mask.shape
    products = np.empty((4, h, w), dtype=np.float32)
    for y in range(h):
        for x in range(w):
            products[0, y, x] = small[0, y, x] * mask[y, x]
            products[1, y, x] = small[1, y, x] * mask[y, x]
            products[2, y, x] = small[2, y, x] * mask[y, x]
            products[3, y, x] = mask[y, x]
    planes = _box(products, radius)
    for y in range(h):
        for x in range(w):
            share = np.float64(planes[3, y, x])
            r = planes[0, y, x] - mean[0, y, x] * share
            g = planes[1, y, x] - mean[1, y, x] * share
            b = planes[2, y, x] - mean[2, y, x] * share
            first = inverse[0, y, x] * r + inverse[1, y, x] * g + inverse[2, y, x] * b
            second = inverse[1, y, x] * r + inverse[3, y, x] * g + inverse[4, y, x] * b
            third = inverse[2, y, x] * r + inverse[4, y, x] * g + inverse[5, y, x] * b
            share -= first * mean[0, y, x] + second * mean[1, y, x] + third * mean[2, y, x]
            planes[0, y, x], planes[1, y, x], planes[2, y, x], planes[3, y, x] = first, second, third, share
    return _box(planes, radius)


@_compiled
@no_type_check
def _apply(frame, planes, out):
    """Interpolate planes to all pixels, bilinear, and put the pixels' colours in."""
    _, height, width = frame.shape
    _, h, w = planes.shape
    left, share = np.empty(width, dtype=np.int64), np.empty(width, dtype=np.float32)
    for x in range(width):
        place = max(0.0, (x + 0.5) * (w / width) - 0.5)
        left[x] = min(int(place), w - 1)
        share[x] = place - left[x]
    strip = np.empty((4, w + 1), dtype=np.float32)
    for y in range(height):
        place = max(0.0, (y + 0.5) * (h / height) - 0.5)
        upper = min(int(place), h - 1)
        lower, down = min(upper + 1, h - 1), np.float32(place - upper)
        for k in range(4):
            for x in range(w):
                strip[k, x] = planes[k, upper, x] + down * (planes[k, lower, x] - planes[k, upper, x])
            strip[k, w] = strip[k, w - 1]
        for x in range(width):
            start, right = left[x], share[x]
            value = strip[3, start] + right * (strip[3, start + 1] - strip[3, start])
            for k in range(3):
                slope = strip[k, start] + right * (strip[k, start + 1] - strip[k, start])
                value += slope * frame[k, y, x]
            out[y, x] = value
