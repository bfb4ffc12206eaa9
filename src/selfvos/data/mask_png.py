"""Masks as image files: every usual way of drawing object ids is read, and what would invent ids is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from PIL import Image

from selfvos.data.drawn_ids import MOST_ID, DrawnMask, IdMap, drawn_mask, palette
from selfvos.data.files import named
from selfvos.data.pictures import open_image, upright
from selfvos.errors import MaskMismatch, UsageError
from selfvos.storage import atomic_path

__all__ = ["DrawnMask", "IdMap", "is_white", "palette", "read_drawn", "read_first_mask", "read_mask", "write_mask"]

_LOSSLESS = {"PNG", "TIFF", "BMP"}


def read_mask(path: Path | str, size: tuple[int, int] | None = None, *, as_id: int | None = None) -> IdMap:
    """Read the object ids of a mask image, turned upright as its EXIF says.

    * Palette: the indices, whatever their colours; but where 0 is not the darkest that occurs it may not be background,
      and the mask is refused. White on black is id 1, and a palette of greys is read as grey.
    * 16-bit grey: the values. 1-bit: id 1.
    * 8-bit grey: the values; but black and white alone mean one object, id 1, as in DAVIS 2016 (16 bits: likewise).
    * RGB: the ids of the PASCAL-VOC palette where all colours are in it; else as grey where all colours are grey;
      else, with black as background and at most 32 flat colours, 1, 2, 3 ... in rising order of (red, green, blue).
    * Transparent pixels are background, however the mask is stored.
    * 255 (in 16 bits also 65535), shown white or cream, beside ids that are all below 64, is void: it becomes
      background, and a warning says so.
    So do not draw RGB masks for several frames of a video in which not all show all objects.

    Args:
        path: A PNG, TIFF or BMP file.
        size: Height and width that the mask must have.
        as_id: The id, 1 to 65535, that the only object of the mask shall have: for white drawings, which do not say it.

    Returns:
        Ids as drawn, 0 for background; uint16 when one is above 255.

    Raises:
        UsageError: There is no such file, or `as_id` is out of range.
        DataError: It cannot be read.
        MaskMismatch: It has another size, its ids cannot be told (soft edges, JPEG, too many colours, a palette in
            disorder), or `as_id` is given and several objects are drawn.
    """
    drawn = read_drawn(path, size)
    if as_id is None:
        return drawn.ids
    if not 1 <= as_id <= MOST_ID:
        raise UsageError(f"an object's id is 1 to {MOST_ID}, got {as_id} for mask {named(path)}")
    if len(drawn.objects) > 1:
        ids = ", ".join(map(str, drawn.objects[:4])) + ", ..." * (len(drawn.objects) > 4)
        raise MaskMismatch(
            f"mask {named(path)} shows objects {ids}; it cannot be object {as_id} as a whole: leave that out"
        )
    return _smallest(np.where(drawn.ids > 0, as_id, 0))


def read_drawn(path: Path | str, size: tuple[int, int] | None = None) -> DrawnMask:
    """Read a mask image as `read_mask` does, with what else it says: whether its ids are stored, and what is void.

    Args:
        path: A PNG, TIFF or BMP file.
        size: Height and width that the mask must have.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read.
        MaskMismatch: As `read_mask`.
    """
    with open_image(path) as image:
        if image.format not in _LOSSLESS:
            raise MaskMismatch(f"{named(path)} is {image.format}, whose edges invent ids; save the mask as PNG")
        turned = upright(image)
        if size is not None and (turned.height, turned.width) != size:
            raise MaskMismatch(
                f"mask {named(path)} is {turned.height}x{turned.width}, the frame is {size[0]}x{size[1]} (height x "
                "width); draw it on the frame itself"
            )
        drawn = drawn_mask(turned, path)
    return replace(drawn, ids=_smallest(drawn.ids))


def is_white(path: Path | str) -> bool:
    """Tell whether a mask shows one object without saying which; see `read_drawn` for errors."""
    return read_drawn(path).white


def read_first_mask(path: Path | str, size: tuple[int, int], *, as_id: int | None = None) -> IdMap:
    """Read a mask to track from: as `read_mask`, and at least one object must be drawn.

    Args:
        path: A PNG, TIFF or BMP file.
        size: Height and width of the frame.
        as_id: The id of its only object.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read.
        MaskMismatch: As `read_mask`; or all of it is background.
    """
    mask = read_mask(path, size, as_id=as_id)
    if not mask.any():
        raise MaskMismatch(f"mask {named(path)} is empty: all pixels are background; draw at least one object")
    return mask


def write_mask(path: Path | str, mask: Integer[np.ndarray, "y x"]) -> None:
    """Write object ids as a PNG: in PASCAL-VOC colours up to id 255, that one darker, as 16-bit grey above.

    Args:
        path: The file to write, whose name ends in .png; it is replaced in one step.
        mask: Ids from 0 to 65535.

    Raises:
        MaskMismatch: An id is out of range, or there are no pixels.
        OutOfSpace: The disk is full; a file that was there is untouched.
    """
    if not mask.size:
        raise MaskMismatch(f"mask has shape {mask.shape}; it needs at least one pixel")
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > MOST_ID:
        raise MaskMismatch(f"mask has ids from {low} to {high}; a PNG holds 0 to {MOST_ID}")
    if high <= 255:
        image = Image.fromarray(np.ascontiguousarray(mask, np.uint8))
        colours = palette().copy()
        colours[255] //= 2  # what is written is an object; the light colour of 255 is read as void beside low ids
        image.putpalette(colours.tobytes())
    else:
        image = Image.fromarray(np.ascontiguousarray(mask, np.uint16))
    with atomic_path(path) as temporary:
        # Level 1: flat areas hardly get smaller with more, but take several times as long.
        image.save(temporary, format="PNG", compress_level=1)


def _smallest(ids: Integer[np.ndarray, "y x"]) -> IdMap:
    return ids.astype(np.uint8 if ids.max(initial=0) <= 255 else np.uint16)
