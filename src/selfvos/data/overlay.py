"""Pictures for people: masks drawn over their frames, and sheets of many pictures."""

import colorsys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt8, UInt16, UInt32
from PIL import Image

from selfvos.errors import UsageError
from selfvos.storage import atomic_path

_GOLDEN = 0.618033988749895
_MARGIN_PX = 4
_CAPTION_PX = 16
_SLAB = 32
"""Rows blended at a time: what they need fits the processor's cache."""
# Pairs of views whose pixels are one or two steps apart: down, across, and both diagonals.
_ALL, _TO, _FROM = slice(None), slice(None, -1), slice(1, None)
_STEPS = (
    ((_FROM, _ALL), (_TO, _ALL)),
    ((_ALL, _FROM), (_ALL, _TO)),
    ((_FROM, _FROM), (_TO, _TO)),
    ((_FROM, _TO), (_TO, _FROM)),
    ((slice(2, None), _ALL), (slice(None, -2), _ALL)),
    ((_ALL, slice(2, None)), (_ALL, slice(None, -2))),
)
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


@cache
def colours() -> UInt8[np.ndarray, "256 3"]:
    """Return the colour that each id is shown in; ids above 255 start again at 1.

    The first seven can be told apart with any kind of colour vision, and keep the hue of the id's palette colour in
    the PNGs (red, green, yellow, blue, purple, cyan; orange for grey). The others go round the circle of hues in
    golden-section steps, in three tones.

    Source:
        The first seven: Okabe and Ito, Color Universal Design, 2008, put in the order of the PASCAL-VOC palette.
    """
    table = np.zeros((256, 3), np.uint8)
    table[1:8] = [
        (213, 94, 0),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (204, 121, 167),
        (86, 180, 233),
        (230, 159, 0),
    ]
    for i in range(8, 256):
        saturation, value = ((0.9, 1.0), (0.5, 1.0), (0.9, 0.6))[i % 3]
        table[i] = [round(255 * v) for v in colorsys.hsv_to_rgb(i * _GOLDEN % 1, saturation, value)]
    table.setflags(write=False)
    return table


def overlay(
    rgb: UInt8[np.ndarray, "y x 3"], mask: Integer[np.ndarray, "y x"], alpha: float = 0.5
) -> UInt8[np.ndarray, "y x 3"]:
    """Tint each object in its colour, with a solid rim two pixels wide inside its edge.

    Args:
        rgb: The frame; it is not changed.
        mask: Ids, 0 for background, whose pixels stay exactly as they are.
        alpha: Share of the tint, 0 (rim only) to 1 (flat colour).

    Returns:
        A new picture.
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"alpha must be between 0 and 1, got {alpha}")
    drawn = rgb.copy()
    rows = np.flatnonzero((mask != 0).any(axis=1))
    if rows.size:
        code = _codes(mask)
        keep, add = _recipe(alpha)
        for top in range(rows[0], rows[-1] + 1, _SLAB):
            slab = slice(top, top + _SLAB)
            kept = drawn[slab] * keep.take(code[slab])[..., None]
            kept >>= 8
            kept += add.take(code[slab]).view(np.uint8).reshape(*kept.shape[:2], 4)[..., :3]
            drawn[slab] = kept
    return drawn


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], columns: int, labels: Sequence[str]
) -> UInt8[np.ndarray, "y x 3"]:
    """Put pictures side by side on white, each with its caption below.

    Args:
        images: At least one; of any sizes, centred in equal cells.
        columns: Pictures in a row, >= 1.
        labels: One caption for each picture, cut off where it is wider than the cell.

    Raises:
        UsageError: No picture, no column, or another number of captions than pictures.
    """
    if not images or columns < 1:
        raise UsageError(f"a sheet needs at least 1 picture and 1 column, got {len(images)} and {columns}")
    if len(labels) != len(images):
        raise UsageError(f"{len(images)} pictures but {len(labels)} labels; give one for each")
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    cell_y, cell_x = height + _CAPTION_PX + _MARGIN_PX, width + _MARGIN_PX
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * cell_x + _MARGIN_PX, rows * cell_y + _MARGIN_PX), "white")
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        top, left = (i // columns) * cell_y + _MARGIN_PX, (i % columns) * cell_x + _MARGIN_PX
        space_y, space_x = height - image.shape[0], width - image.shape[1]
        sheet.paste(Image.fromarray(np.ascontiguousarray(image)), (left + space_x // 2, top + space_y // 2))
        sheet.paste(_caption(label, width), (left, top + height))
    return np.array(sheet)


def save_image(path: Path | str, rgb: UInt8[np.ndarray, "y x 3"]) -> None:
    """Write a picture as PNG or JPEG, as its suffix says, in one step.

    Raises:
        UsageError: Another suffix.
        OutOfSpace: The disk is full; a file that was there is untouched.
    """
    kind = _FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: pictures are written as {', '.join(_FORMATS)}; choose one of these suffixes")
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(rgb)).save(temporary, format=kind, quality=92, compress_level=1)


def _codes(mask: Integer[np.ndarray, "y x"]) -> Int[np.ndarray, "y x"]:
    """Say of each pixel what is to be drawn there: 0 nothing, 1 ... 255 a tint, 256 more than that the rim."""
    code = mask.astype(np.intp)
    if code.max() > 255:
        code = np.where(code > 255, (code - 1) % 255 + 1, code)
    code[_rim(mask)] += 256
    return code


def _recipe(alpha: float) -> tuple[UInt16[np.ndarray, "512"], UInt32[np.ndarray, "512"]]:
    """Return, for each code, the share of the frame that is kept (of 256), and the colour added, as four bytes."""
    keep = np.full(512, round(256 * (1 - alpha)), np.uint16)
    keep[0], keep[256:] = 256, 0
    add = np.zeros((512, 4), np.uint8)
    add[:256, :3], add[256:, :3] = np.floor(colours() * alpha + 0.5), colours()
    return keep, add.view(np.uint32).ravel()


def _rim(ids: Integer[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Find the object pixels within two steps of another id; the border of the picture is no edge."""
    rim = np.zeros(ids.shape, bool)
    for near, far in _STEPS:
        differs = ids[near] != ids[far]
        rim[near] |= differs
        rim[far] |= differs
    return rim & (ids != 0)


def _caption(text: str, width: int) -> Image.Image:
    # Few pictures have one, and it is slow to load.
    from PIL import ImageDraw, ImageFont

    strip = Image.new("RGB", (width, _CAPTION_PX), "white")
    ImageDraw.Draw(strip).text((1, 1), text, fill="black", font=ImageFont.load_default(size=11))
    return strip
