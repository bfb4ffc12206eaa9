"""Where frames come from: a video file, a folder of pictures, or arrays. And where a folder's videos are."""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from selfvos.data.video import DEFAULT_FPS, MOST_PIXELS, VideoFile
from selfvos.errors import BrokenVideo, DataError, SelfvosError, UsageError
from selfvos.types import Frame

logger = logging.getLogger(__name__)

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEOS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv", ".flv", ".ogv", ".3gp"}
)

Range: TypeAlias = tuple[float, float]
"""Sample values shown as black and as white."""


@runtime_checkable
class Source(Protocol):
    """Frames of one size, given one by one."""

    @property
    def name(self) -> str:
        """What to call the video: file stem or folder name."""
        ...

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width; None where only the first frame will tell."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second."""
        ...

    @property
    def count(self) -> int | None:
        """Number of frames, as far as announced; a broken file gives fewer."""
        ...

    @property
    def partial(self) -> bool:
        """Whether the last reading ended before the announced end."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; files and folders can be read any number of times."""
        ...


def open_source(what: Path | str | Iterable[np.ndarray], *, fps: float = DEFAULT_FPS) -> Source:
    """Open anything that holds the frames of one video.

    Args:
        what: Path of a video file or of a folder of pictures, or the frames themselves as RGB uint8 arrays y x 3.
        fps: Frame rate of pictures and arrays, which have none of their own; a video file keeps its own.

    Raises:
        UsageError: There is no such path, it is a single picture, or `fps` is not positive.
        BrokenVideo: No frame can be read from it.
    """
    if not fps > 0:
        raise UsageError(f"fps must be > 0, got {fps}")
    if not isinstance(what, str | Path):
        return FrameArrays(what, fps=fps)
    path = Path(what)
    if path.is_dir():
        return PictureFolder(path, fps=fps)
    if path.suffix.lower() in PICTURES and path.is_file():
        raise UsageError(f"{path} is a single picture; give the folder that holds all frames, or a video file")
    return VideoFile(path)


class PictureFolder:
    """The pictures of a folder as frames, in natural order: 9.jpg comes before 10.jpg.

    Hidden files and files of other kinds are passed over. Grey becomes RGB; samples of more than 8 bits are spread
    from black to white between the 0.1 and 99.9 percentiles of the first picture, for all alike, so that nothing
    flickers.
    """

    partial = False

    def __init__(self, path: Path | str, *, fps: float = DEFAULT_FPS) -> None:
        """List the pictures and look at the first.

        Raises:
            BrokenVideo: There is none.
            DataError: Two differ in their suffix only, or the first cannot be read.
        """
        self.path = Path(path)
        self.name = self.path.resolve().name
        self.fps = fps
        self.files = list_pictures(self.path)
        if not self.files:
            raise BrokenVideo(f"no pictures in {self.path}; looked for {', '.join(sorted(PICTURES))}")
        _refuse_twins(self.files)
        self._range = _sample_range(self.files[0])
        height, width = read_image(self.files[0], self._range).shape[:2]
        self.size = (height, width)
        self.count = len(self.files)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures, read one at a time.

        Raises:
            DataError: One cannot be read or has another size than the first; the message names it.
        """
        for index, file in enumerate(self.files):
            rgb = read_image(file, self._range)
            if rgb.shape[:2] != self.size:
                raise DataError(f"{file} is {_by(rgb.shape)}, the first picture is {_by(self.size)}; make all one size")
            yield Frame(rgb=rgb, index=index, name=file.stem, seconds=index / self.fps)


class FrameArrays:
    """Arrays as frames; an iterator can be read only once, a list or a t y x 3 array any number of times."""

    name = "frames"
    partial = False

    def __init__(self, arrays: Iterable[np.ndarray], *, fps: float = DEFAULT_FPS) -> None:
        """Wrap RGB uint8 arrays y x 3."""
        self._arrays = arrays
        self.fps = fps
        known = isinstance(arrays, Sequence | np.ndarray)
        self.count = len(arrays) if known else None
        first = arrays[0] if known and len(arrays) else None
        self.size = None if first is None else _checked(first, 0).shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the arrays, checked.

        Raises:
            DataError: One is not uint8 y x 3, or has another size than the first.
        """
        size = None
        for index, array in enumerate(self._arrays):
            rgb = _checked(array, index)
            size = size or rgb.shape[:2]
            if rgb.shape[:2] != size:
                raise DataError(f"frame {index} is {_by(rgb.shape)}, the first is {_by(size)}; make all one size")
            yield Frame(rgb=rgb, index=index, name=f"{index:05d}", seconds=index / self.fps)


def find_videos(root: Path | str) -> list[Path]:
    """List every video below a folder: video files, and folders that directly hold pictures.

    Folders named `Annotations...`, as the benchmarks call those of masks, and hidden ones are passed over.

    Args:
        root: A folder, or one video file.

    Returns:
        Paths in natural order; none of them is opened.

    Raises:
        UsageError: There is no such path.
        DataError: There is no video below it.
    """
    root = Path(root)
    if not root.exists():
        raise UsageError(f"no such folder: {root}")
    found = [root] if root.is_file() else sorted(_walk(root), key=_natural_path)
    if not found:
        raise DataError(
            f"no videos below {root}: neither video files ({', '.join(sorted(VIDEOS))}) nor folders of pictures"
        )
    return found


@contextmanager
def open_image(path: Path | str) -> Iterator[Image.Image]:
    """Lend a picture, opened but not yet decoded, and turn all that can go wrong with it into errors naming it.

    Raises:
        UsageError: There is no such file.
        DataError: It is no picture, is damaged, or has more than `MOST_PIXELS` pixels.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{path} has {image.width * image.height} pixels, more than {MOST_PIXELS}; scale it down"
                )
            yield image
    except FileNotFoundError as error:
        raise UsageError(f"no such file: {path}") from error
    except SelfvosError:
        raise
    # Pillow's readers answer damage with all of these.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as a picture ({error}); export it again") from error


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
        upright = ImageOps.exif_transpose(image)
        if _deep(upright):
            samples = np.asarray(upright, np.float32)
            upright = Image.fromarray(_spread(samples, shown or _percentiles(samples)))
        return np.array(upright.convert("RGB"))


def natural(name: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts 9 before 10, and ignores case unless nothing else differs."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _natural_path(path: Path) -> list[tuple[list[str | int], str]]:
    return [natural(part) for part in path.parts]


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures that lie directly in a folder, in natural order; hidden ones are passed over."""
    files = [file for file in folder.iterdir() if _is_kind(file.name, PICTURES) and file.is_file()]
    return sorted(files, key=lambda file: natural(file.name))


def _is_kind(name: str, suffixes: frozenset[str]) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes


def _refuse_twins(files: list[Path]) -> None:
    stems: dict[str, Path] = {}
    for file in files:
        twin = stems.setdefault(file.stem, file)
        if twin is not file:
            raise DataError(f"{twin} and {file.name} would be the same frame; keep one of them")


def _walk(root: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            below.clear()
            continue
        seen.add(real)
        below[:] = [name for name in below if not name.startswith((".", "Annotations"))]
        if any(_is_kind(name, PICTURES) for name in files):
            yield Path(folder)
        yield from (Path(folder, name) for name in files if _is_kind(name, VIDEOS))


def _deep(image: Image.Image) -> bool:
    return image.mode in {"I", "F"} or image.mode.startswith("I;16")


def _sample_range(path: Path) -> Range | None:
    with open_image(path) as image:
        return _percentiles(np.asarray(image, np.float32)) if _deep(image) else None


def _percentiles(samples: np.ndarray) -> Range:
    low, high = np.nanpercentile(samples, (0.1, 99.9))
    return float(low), float(high)


def _spread(samples: np.ndarray, shown: Range) -> UInt8[np.ndarray, "y x"]:
    low, high = shown
    scaled = (samples - low) * (255 / max(high - low, 1e-6))
    return np.nan_to_num(scaled).clip(0, 255).round().astype(np.uint8)


def _checked(array: np.ndarray, index: int) -> UInt8[np.ndarray, "y x 3"]:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        came = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(f"frame {index} is {came}; expected an RGB uint8 array of shape (height, width, 3)")
    return array


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
