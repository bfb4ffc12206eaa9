"""Masks as image files: every usual way of drawing object ids is read, and what would invent ids is refused."""

from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Integer, UInt8, UInt16
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from selfvos.data.source import open_image
from selfvos.errors import MaskMismatch
from selfvos.storage import atomic_path

IdMap: TypeAlias = UInt8[np.ndarray, "y x"] | UInt16[np.ndarray, "y x"]
"""Object ids, 0 for background."""

_LOSSLESS = {"PNG", "TIFF", "BMP"}
_MOST_COLOURS = 32
_MOST_ID = 65535
_DARK = 64


@lru_cache(maxsize=1)
def palette() -> UInt8[np.ndarray, "256 3"]:
    """Return the PASCAL-VOC colour of each id, as DAVIS and YouTube-VOS use it.

    Source:
        Bit k of (id >> 3 j) becomes bit 7 - j of channel k, for j = 0 ... 2 (the remaining bits are 0).
    """
    ids = np.arange(256, dtype=np.uint8)
    colours = np.zeros((256, 3), np.uint8)
    for j in range(3):
        for channel in range(3):
            colours[:, channel] |= ((ids >> (3 * j + channel)) & 1) << (7 - j)
    colours.flags.writeable = False  # one array for all callers
    return colours


def read_mask(path: Path | str, size: tuple[int, int] | None = None) -> IdMap:
    """Read the object ids of a mask image.

    * Palette: the indices, whatever their colours. 16-bit grey: the values. 1-bit: id 1.
    * 8-bit grey: the values; but 0 and 255 alone mean one object, id 1, as in DAVIS 2016.
    * RGB: the ids of the PASCAL-VOC palette where all colours are in it; else as grey where all colours are grey;
      else, with black as background and at most 32 flat colours, 1, 2, 3 ... in rising order of (red, green, blue).
      Transparent pixels are background, in grey as well.
    So do not draw RGB masks for several frames of a video in which not all show all objects.

    Args:
        path: A PNG, TIFF or BMP file.
        size: Height and width that the mask must have.

    Returns:
        Ids as drawn, 0 for background; uint16 when one is above 255.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read.
        MaskMismatch: It has another size, or its ids cannot be told: soft edges, JPEG, too many colours.
    """
    with open_image(path) as image:
        if image.format not in _LOSSLESS:
            raise MaskMismatch(f"{path} is {image.format}, whose edges invent ids; save the mask as PNG")
        if size is not None and (image.height, image.width) != size:
            raise MaskMismatch(
                f"mask {path} is {image.height}x{image.width}, the frame is {size[0]}x{size[1]} (height x width); "
                "draw it on the frame itself"
            )
        ids = _ids(image, path)
    return ids.astype(np.uint8 if ids.max(initial=0) <= 255 else np.uint16)


def read_first_mask(path: Path | str, size: tuple[int, int]) -> IdMap:
    """Read a mask to track from: as `read_mask`, and at least one object must be drawn.

    Args:
        path: A PNG, TIFF or BMP file.
        size: Height and width of the frame.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read.
        MaskMismatch: As `read_mask`; or all of it is background.
    """
    mask = read_mask(path, size)
    if not mask.any():
        raise MaskMismatch(f"mask {path} is empty: all pixels are background; draw at least one object")
    return mask


def write_mask(path: Path | str, mask: Integer[np.ndarray, "y x"]) -> None:
    """Write object ids as a PNG: in PASCAL-VOC colours up to id 255, as 16-bit grey above.

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
    if low < 0 or high > _MOST_ID:
        raise MaskMismatch(f"mask has ids from {low} to {high}; a PNG holds 0 to {_MOST_ID}")
    if high <= 255:
        image = Image.fromarray(np.ascontiguousarray(mask, np.uint8))
        image.putpalette(palette().tobytes())
    else:
        image = Image.fromarray(np.ascontiguousarray(mask, np.uint16))
    with atomic_path(path) as temporary:
        # Level 1: flat areas hardly get smaller with more, but take several times as long.
        image.save(temporary, format="PNG", compress_level=1)


def _ids(image: Image.Image, path: Path | str) -> Integer[np.ndarray, "y x"]:
    mode = image.mode
    if mode == "P":
        return np.array(image)
    if mode == "1":
        return np.array(image).astype(np.uint8)
    if mode in {"L", "LA"}:
        bands = np.array(image.convert("LA"))
        return _grey_ids(np.where(bands[..., 1] > 0, bands[..., 0], 0), path)
    if mode == "I" or mode.startswith("I;16"):
        return _deep_ids(np.array(image).astype(np.int64), path)
    if mode in {"RGB", "RGBA"}:
        bands = np.array(image.convert("RGBA"))
        return _colour_ids(np.where(bands[..., 3:] > 0, bands[..., :3], 0), path)
    raise MaskMismatch(f"mask {path} is a {mode} image, whose ids cannot be told; save it as a palette or grey PNG")


def _grey_ids(grey: UInt8[np.ndarray, "y x"], path: Path | str) -> UInt8[np.ndarray, "y x"]:
    if not ((grey > 0) & (grey < 255)).any():
        return (grey > 0).astype(np.uint8)
    _refuse_soft(grey, path)
    return grey


def _deep_ids(values: Integer[np.ndarray, "y x"], path: Path | str) -> Integer[np.ndarray, "y x"]:
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > _MOST_ID:
        raise MaskMismatch(f"mask {path} has ids from {low} to {high}; ids are 0 to {_MOST_ID}")
    if high == _MOST_ID:  # drawn in white; numbered objects, of which there can be thousands, seldom reach it
        _refuse_soft(values, path)
    return values


def _colour_ids(rgb: UInt8[np.ndarray, "y x 3"], path: Path | str) -> UInt8[np.ndarray, "y x"]:
    packed = _packed(rgb)
    colours = np.unique(packed)
    known = _packed(palette())
    if np.isin(colours, known).all():
        return np.argsort(known).astype(np.uint8)[np.searchsorted(np.sort(known), packed)]
    if (rgb == rgb[..., :1]).all():
        return _grey_ids(np.ascontiguousarray(rgb[..., 0]), path)
    ids = np.searchsorted(colours, packed)
    flat = len(colours) <= _MOST_COLOURS + 1 and len(np.unique(ids[_in_square(ids)])) == len(colours)
    if colours[0] != 0 or not flat:
        raise MaskMismatch(
            f"mask {path} is RGB and its ids cannot be told ({len(colours)} colours; needed are at most "
            f"{_MOST_COLOURS} flat ones on black, without soft edges); save it as a palette or grey PNG"
        )
    return ids.astype(np.uint8)


def _packed(rgb: UInt8[np.ndarray, "*pixels 3"]) -> Integer[np.ndarray, "*pixels"]:
    red, green, blue = (rgb[..., c].astype(np.int64) for c in range(3))
    return red << 16 | green << 8 | blue


def _refuse_soft(grey: Integer[np.ndarray, "y x"], path: Path | str) -> None:
    """Refuse grey drawings whose edges pass through levels in between, for each level would become an object.

    A pixel is such a passage when it has both a darker and a lighter neighbour and lies in no 2 x 2 square of its own
    level. In real masks of separate objects hardly any pixel is one; along soft or JPEG edges more than a tenth of
    all pixels at edges are. Near-black levels were not drawn by eye: they are ids, however thin the objects.
    """
    if grey.max(initial=0) < _DARK:
        return
    darkest, lightest = minimum_filter(grey, size=3), maximum_filter(grey, size=3)
    passages = (darkest < grey) & (grey < lightest) & ~_in_square(grey)
    soft = np.count_nonzero(passages) > 0.1 * np.count_nonzero(darkest < lightest)
    # The best JPEG quality leaves only the levels next to black and white.
    noisy = all((grey == level).any() for level in (1, 254, 255)) and len(np.unique(grey)) < 255
    if soft or noisy:
        raise MaskMismatch(
            f"mask {path} has soft edges ({len(np.unique(grey))} grey levels, many of them only between others); "
            "draw it without antialiasing, or threshold it, and save it as PNG"
        )


def _in_square(ids: Integer[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Say of each pixel whether it lies in a 2 x 2 square of one id, as the rim of a soft edge does not."""
    corner = ids[1:, 1:]
    square = (corner == ids[:-1, :-1]) & (corner == ids[:-1, 1:]) & (corner == ids[1:, :-1])
    inside = np.zeros(ids.shape, bool)
    for rows in (slice(1, None), slice(None, -1)):
        for columns in (slice(1, None), slice(None, -1)):
            inside[rows, columns] |= square
    return inside
