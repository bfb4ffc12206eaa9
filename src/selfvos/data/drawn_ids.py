"""Which object each pixel of a mask image belongs to, however the ids were drawn."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Integer, UInt8, UInt16
from PIL import Image

from selfvos.data.files import named
from selfvos.errors import MaskMismatch

logger = logging.getLogger(__name__)

IdMap: TypeAlias = UInt8[np.ndarray, "y x"] | UInt16[np.ndarray, "y x"]
"""Object ids, 0 for background."""

MOST_ID = 65535
_MOST_COLOURS = 32
_DARK = 64
"""Levels below were not drawn by eye: they are numbers."""
_VOID = 255
_LIGHT = 192
"""Least red, green and blue of a colour that void is shown in: white or cream."""
_LUMINANCE = np.array([0.299, 0.587, 0.114])


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


@dataclass(frozen=True)
class DrawnMask:
    """What a mask image says."""

    ids: Integer[np.ndarray, "y x"]
    """Object ids, 0 for background."""
    numbered: bool = True
    """Whether the ids are stored; else they were counted here, as in white or freely coloured drawings."""
    void: Bool[np.ndarray, "y x"] | None = None
    """Pixels that are neither object nor background, as around the objects of PASCAL-VOC; None where there are none."""

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids that occur, rising."""
        return tuple(id for id in np.unique(self.ids).tolist() if id)

    @property
    def white(self) -> bool:
        """Whether one object is drawn and nothing says which: in white, or in a single colour of no palette."""
        return not self.numbered and len(self.objects) == 1


def drawn_mask(image: Image.Image, path: Path | str) -> DrawnMask:
    """Find the ids in an opened image; see `read_mask`.

    Raises:
        MaskMismatch: They cannot be told.
    """
    mode = image.mode
    if mode == "PA":  # a palette, and how opaque each pixel is
        image, mode = image.convert("RGBA"), "RGBA"
    if mode == "P":
        return _indexed(image, path)
    if mode == "1":
        return DrawnMask(np.array(image).astype(np.uint8), numbered=False)
    if mode in {"L", "LA"}:
        bands = np.array(image.convert("LA"))
        return _without_void(_grey(np.where(bands[..., 1] > 0, bands[..., 0], 0), path), path)
    if mode == "I" or mode.startswith("I;16"):
        return _without_void(_deep(np.array(image).astype(np.int64), path), path)
    if mode in {"RGB", "RGBA"}:
        bands = np.array(image.convert("RGBA"))
        return _without_void(_coloured(np.where(bands[..., 3:] > 0, bands[..., :3], 0), path), path)
    raise MaskMismatch(
        f"mask {named(path)} is a {mode} image, whose ids cannot be told; save it as a palette or grey PNG"
    )


def _indexed(image: Image.Image, path: Path | str) -> DrawnMask:
    indices, colours = np.array(image), _colours(image)
    used = np.unique(indices)
    if used[-1] >= len(colours):  # indices without a colour: numbers, and nothing else
        return _without_void(DrawnMask(indices), path)
    opaque = colours[:, 3] > 0
    ids = np.where(opaque[indices], indices, 0).astype(np.uint8)
    if np.array_equal(colours[:, :3], np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)):
        return _grey(ids, path)
    if opaque[0]:
        _refuse_light_background(colours, used[opaque[used]], path)
    objects = np.unique(ids[ids > 0])
    if len(objects) == 1 and (colours[objects[0], :3] == 255).all():
        return DrawnMask((ids > 0).astype(np.uint8), numbered=False)
    light = len(colours) > _VOID and colours[_VOID, :3].min() >= _LIGHT
    return _without_void(DrawnMask(ids), path) if light else DrawnMask(ids)


def _colours(image: Image.Image) -> UInt8[np.ndarray, "n 4"]:
    """Return red, green, blue and opacity of each index."""
    colours = np.array(image.getpalette("RGBA") or [], np.uint8).reshape(-1, 4)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and transparent < len(colours):
        colours[transparent, 3] = 0
    elif isinstance(transparent, bytes):
        opacity = np.frombuffer(transparent, np.uint8)[: len(colours)]
        colours[: len(opacity), 3] = opacity
    return colours


def _refuse_light_background(
    colours: UInt8[np.ndarray, "n 4"], shown: Integer[np.ndarray, " k"], path: Path | str
) -> None:
    """Refuse a palette in which an index that occurs is darker than 0, for 0 is background, and that is drawn dark.

    A program that makes a palette from a picture puts the colours in any order.
    """
    light = colours[:, :3] @ _LUMINANCE
    if light[shown].min(initial=255) >= light[0]:
        return
    darkest = int(shown[light[shown].argmin()])
    first, other = (tuple(colours[i, :3].tolist()) for i in (0, darkest))
    raise MaskMismatch(
        f"mask {named(path)}: index 0 of its palette, the background, is lighter {first} than index {darkest} {other}: "
        "objects and background seem to be swapped; save it as an 8-bit grey PNG with 0 for the background, or as a "
        "palette PNG with black first"
    )


def _grey(grey: UInt8[np.ndarray, "y x"], path: Path | str) -> DrawnMask:
    if not ((grey > 0) & (grey < 255)).any():
        return DrawnMask((grey > 0).astype(np.uint8), numbered=False)
    _refuse_soft(grey, path)
    return DrawnMask(grey)


def _deep(values: Integer[np.ndarray, "y x"], path: Path | str) -> DrawnMask:
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > MOST_ID:
        raise MaskMismatch(f"mask {named(path)} has ids from {low} to {high}; ids are 0 to {MOST_ID}")
    if high == MOST_ID:  # drawn in white; numbered objects, of which there can be thousands, seldom reach it
        if not ((values > 0) & (values < MOST_ID)).any():
            return DrawnMask((values > 0).astype(np.uint8), numbered=False)
        _refuse_soft(values, path)
    return DrawnMask(values)


def _coloured(rgb: UInt8[np.ndarray, "y x 3"], path: Path | str) -> DrawnMask:
    packed = _packed(rgb)
    colours = np.unique(packed)
    known = _packed(palette())
    if np.isin(colours, known).all():
        return DrawnMask(np.argsort(known).astype(np.uint8)[np.searchsorted(np.sort(known), packed)])
    if (rgb == rgb[..., :1]).all():
        return _grey(np.ascontiguousarray(rgb[..., 0]), path)
    ids = np.searchsorted(colours, packed)
    flat = len(colours) <= _MOST_COLOURS + 1 and len(np.unique(ids[_in_square(ids)])) == len(colours)
    if colours[0] != 0 or not flat:
        raise MaskMismatch(
            f"mask {named(path)} is RGB and its ids cannot be told ({len(colours)} colours; needed are at most "
            f"{_MOST_COLOURS} flat ones on black, without soft edges); save it as a palette or grey PNG"
        )
    return DrawnMask(ids.astype(np.uint8), numbered=False)


def _without_void(drawn: DrawnMask, path: Path | str) -> DrawnMask:
    """Take out what is marked as void: by white, the highest number, beside objects whose numbers are all low."""
    white = int(drawn.ids.max(initial=0))
    void = drawn.ids == white
    lower = int(drawn.ids[~void].max(initial=0))
    if not drawn.numbered or white not in {_VOID, MOST_ID} or not 0 < lower < _DARK:
        return drawn
    logger.warning(
        "mask %s: %d pixels of %d are void: taken as background, not as an object",
        *(named(path), int(np.count_nonzero(void)), white),
    )
    return DrawnMask(np.where(void, 0, drawn.ids), void=void)


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
    # Needed for few masks, and slow to load.
    from scipy.ndimage import maximum_filter, minimum_filter

    darkest, lightest = minimum_filter(grey, size=3), maximum_filter(grey, size=3)
    passages = (darkest < grey) & (grey < lightest) & ~_in_square(grey)
    soft = np.count_nonzero(passages) > 0.1 * np.count_nonzero(darkest < lightest)
    # The best JPEG quality leaves only the levels next to black and white.
    noisy = all((grey == level).any() for level in (1, 254, 255)) and len(np.unique(grey)) < 255
    if soft or noisy:
        raise MaskMismatch(
            f"mask {named(path)} has soft edges ({len(np.unique(grey))} grey levels, many only between others); "
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
