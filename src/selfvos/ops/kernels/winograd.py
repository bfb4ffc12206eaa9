"""Winograd's transforms of whole maps, channels last in memory, for 3 x 3 convolutions in tiles of 4 x 4 pixels."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from selfvos.ops.kernels.compiling import compiled
from selfvos.ops.kernels.tile_vectors import LANES, MADE, SEEN, make, see

__all__ = ["LANES", "make_maps", "see_maps", "tiles"]


def tiles(height: int, width: int) -> tuple[int, int]:
    """Return how many rows and columns of tiles cover a map."""
    return -(-height // MADE), -(-width // MADE)


def see_maps(maps: Float32[np.ndarray, "y x c"], rows: range, seen: Float32[np.ndarray, "p t c"]) -> None:
    """Transform what some rows of tiles see; beyond the border are zeros.

    Args:
        maps: C-contiguous; c is a multiple of `LANES`.
        rows: Rows of tiles.
        seen: Filled: the 36 parts of each tile.
    """
    _see_rows(maps, (rows.start, rows.stop), rows.start, seen)


def make_maps(
    products: Float32[np.ndarray, "p t c"],
    bias: Float32[np.ndarray, " c"],
    rows: range,
    maps: Float32[np.ndarray, "y x c"],
    *,
    added: Float32[np.ndarray, "y x c"] | None = None,
    rectify: bool = False,
) -> None:
    """Transform the products of some rows of tiles into pixels.

    Args:
        products: The 36 of each tile, C-contiguous; c is a multiple of `LANES`.
        bias: Of each channel, added to it.
        rows: Rows of tiles.
        maps: Filled where these rows lie, C-contiguous.
        added: Maps to add.
        rectify: Whether what is below 0 becomes 0.
    """
    more = np.empty((0, 0, 0), np.float32) if added is None else added
    _make_rows(products, bias, more, np.float32(0 if rectify else -np.inf), (rows.start, rows.stop), rows.start, maps)


@compiled
@no_type_check
def _see_rows(maps, rows, first, seen):
    """Transform what the rows of tiles from rows[0] to rows[1] - 1 see; `seen` begins with row `first`."""
    height, width, channels = maps.shape
    across = -(-width // MADE)
    plane = seen.shape[1] * channels
    patch = np.zeros(SEEN * SEEN * channels, dtype=np.float32)
    for tile in range(rows[0] * across, rows[1] * across):
        top, left = tile // across * MADE - 1, tile % across * MADE - 1
        out = (tile - first * across) * channels
        if top >= 0 and top + SEEN <= height and left >= 0 and left + SEEN <= width:
            start = (top * width + left) * channels
            for c in range(0, channels, LANES):
                see(maps, start + c, (width * channels, channels), seen, out + c, plane)
            continue
        patch[:] = 0
        for i in range(max(0, -top), min(SEEN, height - top)):
            for j in range(max(0, -left), min(SEEN, width - left)):
                for c in range(channels):
                    patch[(i * SEEN + j) * channels + c] = maps[top + i, left + j, c]
        for c in range(0, channels, LANES):
            see(patch, c, (SEEN * channels, channels), seen, out + c, plane)


@compiled
@no_type_check
def _make_rows(products, bias, added, least, rows, first, maps):
    """Make the pixels of the rows of tiles from rows[0] to rows[1] - 1; `products` begin with row `first`."""
    height, width, channels = maps.shape
    across = -(-width // MADE)
    plane = products.shape[1] * channels
    patch = np.empty(MADE * MADE * channels, dtype=np.float32)
    for tile in range(rows[0] * across, rows[1] * across):
        top, left = tile // across * MADE, tile % across * MADE
        place = (tile - first * across) * channels
        for c in range(0, channels, LANES):
            make(products, place + c, plane, patch, c, (MADE * channels, channels), bias, c)
        for i in range(min(MADE, height - top)):
            for j in range(min(MADE, width - left)):
                pixel, start = maps[top + i, left + j], (i * MADE + j) * channels
                if len(added):
                    more = added[top + i, left + j]
                    for c in range(channels):
                        value = patch[start + c] + more[c]
                        pixel[c] = least if value < least else value  # what is not a number stays so
                else:
                    for c in range(channels):
                        value = patch[start + c]
                        pixel[c] = least if value < least else value
