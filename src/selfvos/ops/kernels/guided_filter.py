"""The guided filter on the CPU in running sums: the time does not depend on the radius, and no matrix is solved."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from selfvos.ops.kernels.compiling import compiled

_COARSE = 2


Windows = tuple[Float32[np.ndarray, "3 h w"], Float32[np.ndarray, "3 h w"], Float32[np.ndarray, "6 h w"]]
"""A frame at half the size; the mean colour of the window around each of its pixels, and the inverse of their
covariance: rr, rg, rb, gg, gb, bb."""


def explain_colours(frame: Float32[np.ndarray, "3 y x"], radius: int, epsilon: float) -> Windows:
    """Return what all masks of a frame share.

    Args:
        frame: RGB in [0, 1], C-contiguous, both sides at least 2.
        radius: Windows reach so far to each side, in pixels of half the size, at least 1.
        epsilon: Variance of colour below which a window counts as even, > 0.
    """
    small = _halve(frame)
    return (small, *_explain_colours(small, radius, np.float64(epsilon)))


def redraw(
    frame: Float32[np.ndarray, "3 y x"],
    windows: Windows,
    mask: Float32[np.ndarray, "y2 x2"],
    corner: tuple[int, int],
    radius: int,
) -> Float32[np.ndarray, "y2 x2"]:
    """Redraw a mask as a linear function of colour; see `selfvos.ops.guided_filter`.

    Args:
        frame: RGB in [0, 1], C-contiguous.
        windows: Of this frame and radius.
        mask: A part of the picture, C-contiguous; the mask is 0 everywhere else, and where the part does not end at
            the border of the picture, it is 0 along its own for as far as `margin` says.
        corner: First row and first column of the part, even.
        radius: As that of the windows.
    """
    small, mean, inverse = windows
    h, w = small.shape[1:]
    bottom, right = corner[0] + mask.shape[0], corner[1] + mask.shape[1]
    rows = slice(corner[0] // _COARSE, h if bottom == frame.shape[1] else bottom // _COARSE)
    columns = slice(corner[1] // _COARSE, w if right == frame.shape[2] else right // _COARSE)
    part = rows.start, columns.start, h, w
    parts = (np.ascontiguousarray(x[:, rows, columns]) for x in (small, mean, inverse))
    planes = _explain(_halve(mask[None])[0], *parts, radius, part)
    out = np.empty_like(mask)
    _apply(frame, planes, corner, part, out)
    return out


def margin(radius: int) -> int:
    """Return how many pixels around what a mask shows are changed by it, and a few more."""
    return _COARSE * (2 * radius + 3)


@compiled
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


@compiled
@no_type_check
def _box(maps, radius, part):
    """Average over square windows, cut off at the picture's border, by sums of columns and then of rows.

    Maps are a part of the picture that begins at some row and column of it, and 0 elsewhere.
    """
    top, left, height, width = part
    c, h, w = maps.shape
    out = np.empty((c, h, w), dtype=np.float32)
    column, until = np.zeros(w, dtype=np.float64), np.zeros(w + 1, dtype=np.float64)
    inside, outside = min(radius, width), max(min(radius, width), width - radius)
    inside, outside = min(max(inside - left, 0), w), min(max(outside - left, 0), w)
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
            rows = min(height, top + y + radius + 1) - max(0, top + y - radius)
            for x in range(w):
                until[x + 1] = until[x] + column[x]
            for x in range(inside):
                total = until[min(w, x + radius + 1)] - until[max(0, x - radius)]
                out[k, y, x] = total / (rows * min(width, left + x + radius + 1))
            share = 1 / (rows * (2 * radius + 1))
            first, last = max(inside, min(radius, outside)), max(inside, min(outside, w - radius))
            for x in range(inside, min(first, outside)):
                out[k, y, x] = (until[min(w, x + radius + 1)] - until[0]) * share
            for x in range(first, last):
                out[k, y, x] = (until[x + radius + 1] - until[x - radius]) * share
            for x in range(max(first, last), outside):
                out[k, y, x] = (until[w] - until[max(0, x - radius)]) * share
            for x in range(outside, w):
                out[k, y, x] = (until[w] - until[max(0, x - radius)]) / (rows * (width - left - x + radius))
    return out


@compiled
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
    means = _box(products, radius, (0, 0, h, w))
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


@compiled
@no_type_check
def _explain(mask, small, mean, inverse, radius, part):
    """Return what to multiply colours with, and what to add, to get the mask: the mean over all windows of a pixel."""
    h, w = mask.shape
    products = np.empty((4, h, w), dtype=np.float32)
    for y in range(h):
        for x in range(w):
            products[0, y, x] = small[0, y, x] * mask[y, x]
            products[1, y, x] = small[1, y, x] * mask[y, x]
            products[2, y, x] = small[2, y, x] * mask[y, x]
            products[3, y, x] = mask[y, x]
    planes = _box(products, radius, part)
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
    return _box(planes, radius, part)


@compiled
@no_type_check
def _apply(frame, planes, corner, part, out):
    """Interpolate planes to all pixels of a part, bilinear, and put the pixels' colours in."""
    _, height, width = frame.shape
    top, first, h, w = part
    _, inner, across = planes.shape
    left, right = np.empty(out.shape[1], dtype=np.int64), np.empty(out.shape[1], dtype=np.int64)
    share = np.empty(out.shape[1], dtype=np.float32)
    for x in range(out.shape[1]):
        place = max(0.0, (corner[1] + x + 0.5) * (w / width) - 0.5)
        start = min(int(place), w - 1)
        share[x] = place - start
        left[x] = min(max(start - first, 0), across - 1)
        right[x] = min(max(start + 1 - first, 0), across - 1)
    strip = np.empty((4, across), dtype=np.float32)
    for y in range(out.shape[0]):
        place = max(0.0, (corner[0] + y + 0.5) * (h / height) - 0.5)
        upper = min(int(place), h - 1)
        down = np.float32(place - upper)
        above = min(max(upper - top, 0), inner - 1)
        below = min(max(upper + 1 - top, 0), inner - 1)
        for k in range(4):
            for x in range(across):
                strip[k, x] = planes[k, above, x] + down * (planes[k, below, x] - planes[k, above, x])
        for x in range(out.shape[1]):
            value = strip[3, left[x]] + share[x] * (strip[3, right[x]] - strip[3, left[x]])
            for k in range(3):
                slope = strip[k, left[x]] + share[x] * (strip[k, right[x]] - strip[k, left[x]])
                value += slope * frame[k, corner[0] + y, corner[1] + x]
            out[y, x] = value
