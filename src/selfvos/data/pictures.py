"""Pictures read as RGB: turned upright, and with samples of more than 8 bits spread alike through a whole sequence."""

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageOps

from selfvos.data.files import named, require_file
from selfvos.errors import DataError, SelfvosError

MOST_PIXELS = 2**26
"""Largest picture that is decoded (8192 x 8192): a few hundred bytes can announce far more than memory holds."""

Range: TypeAlias = tuple[float, float]
"""Sample values shown as black and as white."""

_SAMPLED = 32
"""Pictures of a sequence that are looked at to find the range of its samples."""
_SAMPLES = 2**22
_REDUCED = 1
"""The bit of the TIFF tag NewSubfileType that says: a smaller copy of another page."""
_SUBFILE_TYPE = 254


@contextmanager
def open_image(path: Path | str) -> Iterator[Image.Image]:
    """Lend a picture, opened but not yet decoded, and turn all that can go wrong with it into errors naming it.

    Raises:
        UsageError: There is no such file.
        DataError: It is no picture, is damaged, may not be read, or has more than `MOST_PIXELS` pixels.
    """
    require_file(Path(path))
    try:
        with Image.open(path) as image:
            require_pixels(image, path)
            yield image
    except SelfvosError:
        raise
    except PermissionError as error:
        raise DataError(f"{named(path)} may not be read: permission denied; change its permissions") from error
    # Pillow's readers answer damage with all of these.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{named(path)} cannot be read as a picture ({_reason(error)}); export it again") from error


def require_pixels(image: Image.Image, path: Path | str) -> None:
    """Refuse a picture, or a page of one, that is too large to be decoded.

    Raises:
        DataError: It has more than `MOST_PIXELS` pixels.
    """
    pixels = image.width * image.height
    if pixels > MOST_PIXELS:
        raise DataError(f"{named(path)} has {pixels} pixels, more than {MOST_PIXELS}; scale it down")


def read_image(path: Path | str, shown: Range | None = None) -> UInt8[np.ndarray, "y x 3"]:
    """Read a picture as RGB, turned upright as its EXIF says; transparency is dropped.

    Args:
        path: A picture file.
        shown: Sample values that become black and white where samples have more than 8 bits; by default the 0.1 and
            99.9 percentiles of the picture.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read.
    """
    with open_image(path) as image:
        return to_rgb(image, shown)


def to_rgb(image: Image.Image, shown: Range | None = None) -> UInt8[np.ndarray, "y x 3"]:
    """Decode an opened picture; see `read_image`."""
    turned = upright(image)
    if _deep(turned):
        samples = np.asarray(turned, np.float32)
        turned = Image.fromarray(_spread(samples, shown or _percentiles(samples)))
    return np.array(turned.convert("RGB"))


def upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF says, be it a frame or a mask; its mode and palette stay.

    Raises:
        ValueError: Pillow would mix up its rows.
    """
    lying = image.getexif().get(ExifTags.Base.Orientation) in {5, 6, 7, 8}
    # Pillow 11 to 13 take height for width when they read such files, which hardly any program writes.
    if lying and image.format == "TIFF" and image.info.get("compression") == "raw":
        raise ValueError("a TIFF that is stored on its side and not compressed")
    return ImageOps.exif_transpose(image)


def pages(image: Image.Image) -> int:
    """Return how many pictures a file holds: 1 also where the others are thumbnails or smaller copies of the first.

    Raises:
        ValueError: The file breaks off.
    """
    # JPEGs of phones hold a second picture for depth or brightness, which is no frame.
    if image.format not in {"TIFF", "PNG", "WEBP"}:
        return 1
    size = image.size
    with _damage_told():
        count = getattr(image, "n_frames", 1)
        if count < 2 or image.format != "TIFF":
            return count
        image.seek(1)
        alike = image.size == size and not image.tag_v2.get(_SUBFILE_TYPE, 0) & _REDUCED  # pyright: ignore
        image.seek(0)
    return count if alike else 1


def go_to(image: Image.Image, page: int) -> Image.Image:
    """Turn an opened file of several pictures to one of them.

    Raises:
        ValueError: The file breaks off.
    """
    with _damage_told():
        image.seek(page)
    return image


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except (TypeError, LookupError, struct.error) as error:  # what Pillow's search for pages answers damage with
        raise ValueError(f"it is damaged or breaks off: {error}") from error


def evenly(count: int) -> list[int]:
    """Return the numbers of the pictures that stand for a whole sequence: the first, the last, and some between."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, _SAMPLED))})


def shared_range(images: Iterable[Image.Image], count: int) -> Range | None:
    """Find the range in which all pictures of a sequence are shown, so that nothing flickers and none is lost.

    Args:
        images: Some pictures of the sequence, opened; see `evenly`.
        count: How many these are.

    Returns:
        The 0.1 and 99.9 percentiles of all their samples together; None where all have 8 bits.
    """
    found = [_thinned(np.asarray(image, np.float32), _SAMPLES // count) for image in images if _deep(image)]
    return _percentiles(np.concatenate(found)) if found else None


def range_of(files: Sequence[Path]) -> Range | None:
    """Find the range in which pictures in files are shown; see `shared_range`.

    Raises:
        DataError: One of those that are looked at cannot be read.
    """
    some = [files[i] for i in evenly(len(files))]
    return shared_range(_each(some), len(some))


def _each(files: Iterable[Path]) -> Iterator[Image.Image]:
    for file in files:
        # Other formats have no such samples: they need not be opened.
        if file.suffix.lower() in {".png", ".tif", ".tiff"}:
            with open_image(file) as image:
                yield image


def _deep(image: Image.Image) -> bool:
    return image.mode in {"I", "F"} or image.mode.startswith("I;16")


def _thinned(samples: Float[np.ndarray, "y x"], most: int) -> Float[np.ndarray, " n"]:
    every = math.ceil(math.sqrt(max(1.0, samples.size / most)))
    return samples[::every, ::every].ravel()


def _percentiles(samples: Float[np.ndarray, "..."]) -> Range:
    known = samples[np.isfinite(samples)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, (0.1, 99.9))
    return float(low), float(high)


def _spread(samples: Float[np.ndarray, "y x"], shown: Range) -> UInt8[np.ndarray, "y x"]:
    low, high = shown
    scaled = (samples - low) * (255 / max(high - low, 1e-6))
    return np.nan_to_num(scaled).clip(0, 255).round().astype(np.uint8)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
