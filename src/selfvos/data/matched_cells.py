"""Pictures of matches: a frame with the cell that was asked about, and remembered frames with what was matched."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Integer, UInt8
from PIL import Image, ImageDraw

from selfvos.data.overlay import contact_sheet, overlay

_SHOWN = 8
"""Remembered frames in a picture."""
_COLUMNS = 3
_LIGHT = 0.65
"""What is left of the light of a remembered frame, for the heat to be seen."""
_LINE = (255, 255, 255)
_HEAT = np.array([(0, 0, 0), (70, 10, 110), (190, 50, 90), (250, 140, 20), (252, 252, 160)], np.float32)
"""Dark purple to light yellow, in equal steps: bright also for those who see no colours."""


@dataclass(frozen=True)
class Cells:
    """How a video is cut into cells."""

    native: tuple[int, int]
    """Height and width of the video in pixels."""
    resized: tuple[int, int]
    """The same as the network sees it."""
    padded: tuple[int, int]
    """The same with what was added to get whole cells."""
    stride: int
    """Pixels of the padded frame per cell."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.padded[0] // self.stride, self.padded[1] // self.stride

    def at(self, x: int, y: int) -> tuple[int, int]:
        """Return row and column of the cell that a pixel of the video lies in."""
        row = int((y + 0.5) * self.resized[0] / self.native[0]) // self.stride
        return row, int((x + 0.5) * self.resized[1] / self.native[1]) // self.stride

    def box(self, row: int, column: int, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of a cell in a picture of the video of another size."""
        down, across = (side * self.stride / resized for side, resized in zip(size, self.resized, strict=True))
        return column * across, row * down, (column + 1) * across, (row + 1) * down

    def spread(self, cells: Float32[np.ndarray, "h w"], size: tuple[int, int]) -> Float32[np.ndarray, "y x"]:
        """Return values of cells in each pixel of a picture of the video."""
        places = (
            (np.arange(n) + 0.5) * resized / n / self.stride for n, resized in zip(size, self.resized, strict=True)
        )
        rows, columns = (
            np.minimum(place.astype(int), most - 1) for place, most in zip(places, cells.shape, strict=True)
        )
        return cells[rows[:, None], columns]


@dataclass(frozen=True, kw_only=True)
class MatchedFrame:
    """A remembered frame, and what a cell of a later one took from it."""

    index: int
    """In the video."""
    weight: float
    """Share of the label that came from it, in [0, 1]."""
    kept: tuple[tuple[int, int, float], ...]
    """Row, column and weight of each cell that was matched."""
    heat: Float32[np.ndarray, "h w"]
    """How alike each cell is, in [0, 1]: 1 is the most alike of all frames, 0 no more so than their mean."""
    rgb: UInt8[np.ndarray, "y x 3"]
    """The frame, small."""
    mask: Integer[np.ndarray, "y x"]
    """Its mask, as small."""


def draw_query(
    rgb: UInt8[np.ndarray, "y x 3"], mask: Integer[np.ndarray, "y x"], cells: Cells, at: tuple[int, int]
) -> UInt8[np.ndarray, "y x 3"]:
    """Draw a frame with its mask and a frame around the cell of a pixel.

    Args:
        rgb: The frame, of any size.
        mask: Its mask.
        cells: How the video is cut.
        at: Column and row of the pixel, in the video.
    """
    image = Image.fromarray(overlay(rgb, mask, 0.35))
    left, top, right, bottom = cells.box(*cells.at(*at), (rgb.shape[0], rgb.shape[1]))
    pen = ImageDraw.Draw(image)
    for away, colour in ((5, (0, 0, 0)), (4, _LINE), (3, _LINE), (2, (0, 0, 0))):
        pen.rectangle((left - away, top - away, right + away, bottom + away), outline=colour)
    return np.array(image)


def draw_matched(one: MatchedFrame, cells: Cells) -> UInt8[np.ndarray, "y x 3"]:
    """Draw a remembered frame: dimmed, heat over it, the outline of its mask, and a frame around each matched cell."""
    size = one.rgb.shape[0], one.rgb.shape[1]
    heat = cells.spread(one.heat, size)[..., None]
    steps = np.linspace(0, 1, len(_HEAT))
    colour = np.concatenate([np.interp(heat, steps, _HEAT[:, channel]) for channel in range(3)], axis=2)
    mixed = _LIGHT * one.rgb * (1 - heat) + colour * heat
    image = Image.fromarray(overlay(mixed.clip(0, 255).astype(np.uint8), one.mask, 0.0))
    pen = ImageDraw.Draw(image)
    for row, column, _ in one.kept:
        left, top, right, bottom = cells.box(row, column, size)
        for away, colour in ((3, (0, 0, 0)), (2, _LINE), (1, _LINE)):
            pen.rectangle((left - away, top - away, right + away, bottom + away), outline=colour)
    return np.array(image)


def sheet(
    query: UInt8[np.ndarray, "y x 3"], caption: str, memory: Sequence[MatchedFrame], cells: Cells
) -> UInt8[np.ndarray, "y2 x2 3"]:
    """Put a drawn frame and the remembered frames that tell most about it side by side.

    Those are the ones of the largest weight, then those with the most alike cells, in the order of the video.
    """
    telling = sorted(memory, key=lambda one: (-one.weight, -float(one.heat.max())))[:_SHOWN]
    telling.sort(key=lambda one: one.index)
    drawn = [query, *(draw_matched(one, cells) for one in telling)]
    labels = [caption, *(f"frame {one.index}: {one.weight:.0%}" for one in telling)]
    return contact_sheet(drawn, min(_COLUMNS, len(drawn)), labels)
