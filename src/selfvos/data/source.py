"""Where frames come from: a video file, a folder of pictures, a stack of them in one file, or arrays."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from selfvos.data.files import is_folder, named
from selfvos.data.kinds import PAGED, PICTURES, VIDEOS, list_pictures, natural
from selfvos.data.listing import VideoListing, find_videos
from selfvos.data.pictures import open_image, pages, range_of, read_image, to_rgb
from selfvos.data.spans import check_span, span
from selfvos.data.stacks import Stack, is_stack
from selfvos.data.video import DEFAULT_FPS, VideoFile
from selfvos.errors import BrokenVideo, DataError, UsageError
from selfvos.types import Frame

# This is the door of the room for whoever reads pictures or videos; the parts are in the files beside it.
__all__ = [
    "DEFAULT_FPS",
    "PICTURES",
    "VIDEOS",
    "FrameArrays",
    "PictureFolder",
    "Source",
    "VideoListing",
    "find_videos",
    "list_pictures",
    "natural",
    "open_image",
    "open_source",
    "pictures_of",
    "read_image",
]

logger = logging.getLogger(__name__)


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

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel as it is meant to be shown, divided by its height; 1 for nearly all videos."""
        ...

    @property
    def sound(self) -> Path | None:
        """The file whose sound belongs to the frames; None where there is none."""
        ...

    def exact_count(self) -> int | None:
        """Return the number of frames that can be read; None where only reading them will tell."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield all frames in order; files and folders can be read any number of times."""
        ...

    def frames(self, start: int | None = None, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Yield some of the frames. `Frame.index` is always the number within the whole video, from 0.

        Args:
            start: The first to yield; None begins at the first frame, or at the last where `step` is negative.
            stop: Where to stop, itself left out; None goes on to the end, or down to frame 0.
            step: 1 for every frame, 2 for every other one, -1 for all backwards.

        Raises:
            UsageError: There is no such frame, or this source cannot be read so.
        """
        ...


def open_source(what: Path | str | Iterable[np.ndarray], *, fps: float = DEFAULT_FPS) -> Source:
    """Open anything that holds the frames of one video.

    Args:
        what: Path of a video file, of a folder of pictures, of a file of several pictures (TIFF of many pages, animated
            GIF, WebP or PNG), of a folder that holds one such file; or the frames themselves as RGB uint8 arrays y x 3.
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
    if is_folder(path):
        files = list_pictures(path)
        return _open_stack(files[0], fps) if len(files) == 1 and _paged(files[0]) else PictureFolder(path, fps=fps)
    if path.suffix.lower() not in PICTURES:
        return VideoFile(path)
    with open_image(path) as image:
        several = pages(image) > 1
    if not several:
        raise UsageError(f"{named(path)} is a single picture; give the folder that holds all frames, or a video file")
    return _open_stack(path, fps)


class PictureFolder:
    """The pictures of a folder as frames, in natural order: 9.jpg comes before 10.jpg.

    Hidden files and files of other kinds are passed over. Grey becomes RGB; samples of more than 8 bits are spread
    from black to white between the 0.1 and 99.9 percentiles of pictures from the whole sequence, for all alike, so that
    nothing flickers and a dark beginning does not make the rest white.
    """

    partial = False
    pixel_aspect = Fraction(1)
    sound = None

    def __init__(self, path: Path | str, *, fps: float = DEFAULT_FPS) -> None:
        """List the pictures and look at some of them.

        Raises:
            BrokenVideo: There is none.
            DataError: Two differ in their suffix only, or the first cannot be read.
        """
        self.path = Path(path)
        self.name = self.path.resolve().name
        self.fps = fps
        self.files = list_pictures(self.path)
        if not self.files:
            raise BrokenVideo(f"no pictures in {named(self.path)}; looked for {', '.join(sorted(PICTURES))}")
        _refuse_twins(self.files)
        self._range = range_of(self.files)
        height, width = self._read(self.files[0]).shape[:2]
        self.size = (height, width)
        self.count = len(self.files)

    def exact_count(self) -> int:
        """Return the number of pictures."""
        return self.count

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures, read one at a time."""
        return self.frames()

    def frames(self, start: int | None = None, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Yield some pictures; see `Source.frames`.

        Raises:
            UsageError: There is no such picture.
            DataError: One cannot be read or has another size than the first; the message names it.
        """
        wanted = span(start, stop, step, count=self.count, name=named(self.path))
        return (self._frame(index) for index in wanted)

    def _frame(self, index: int) -> Frame:
        file = self.files[index]
        rgb = self._read(file)
        if rgb.shape[:2] != self.size:
            raise DataError(
                f"{named(file)} is {_by(rgb.shape)}, the first picture is {_by(self.size)}; make all one size"
            )
        return Frame(rgb=rgb, index=index, name=file.stem, seconds=index / self.fps)

    def _read(self, file: Path) -> UInt8[np.ndarray, "y x 3"]:
        with open_image(file) as image:
            count = pages(image)
            if count > 1:
                raise DataError(f"{named(file)} holds {count} pictures, so it is a video of its own; give it alone")
            return to_rgb(image, self._range)


class FrameArrays:
    """Arrays as frames; an iterator can be read only once, a list or a t y x 3 array any number of times."""

    name = "frames"
    partial = False
    pixel_aspect = Fraction(1)
    sound = None

    def __init__(self, arrays: Iterable[np.ndarray], *, fps: float = DEFAULT_FPS) -> None:
        """Wrap RGB uint8 arrays y x 3."""
        self._arrays = arrays
        self.fps = fps
        known = isinstance(arrays, Sequence | np.ndarray)
        self.count = len(arrays) if known else None
        first = arrays[0] if known and len(arrays) else None
        self.size = None if first is None else _checked(first, 0).shape[:2]

    @property
    def at_hand(self) -> bool:
        """Whether all arrays are there, and none is made when it is asked for."""
        return isinstance(self._arrays, list | tuple | np.ndarray)

    def exact_count(self) -> int | None:
        """Return the number of arrays; None for an iterator."""
        return self.count

    def __iter__(self) -> Iterator[Frame]:
        """Yield the arrays, checked."""
        return self.frames()

    def frames(self, start: int | None = None, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Yield some arrays; see `Source.frames`. An iterator is read no further than asked.

        Raises:
            UsageError: There is no such array, or an iterator shall be read backwards.
            DataError: One is not uint8 y x 3, or has another size than the first.
        """
        arrays = self._arrays
        if isinstance(arrays, Sequence | np.ndarray):
            wanted = span(start, stop, step, count=len(arrays), name=self.name)
            return self._frames((index, arrays[index]) for index in wanted)
        check_span(start, stop, step)
        if step < 0:
            raise UsageError("these frames come one after the other and cannot be read backwards; give a list of them")
        return self._frames(islice(enumerate(arrays), start, stop, step))

    def _frames(self, numbered: Iterable[tuple[int, np.ndarray]]) -> Iterator[Frame]:
        size = self.size
        for index, array in numbered:
            rgb = _checked(array, index)
            size = size or rgb.shape[:2]
            if rgb.shape[:2] != size:
                raise DataError(f"frame {index} is {_by(rgb.shape)}, the first is {_by(size)}; make all one size")
            yield Frame(rgb=rgb, index=index, name=f"{index:05d}", seconds=index / self.fps)


def pictures_of(source: Source) -> list[Path] | None:
    """Return the pictures of a folder in order, whoever reads them; None for any other source."""
    return getattr(source, "files", None)


def _open_stack(path: Path, fps: float) -> Source:
    # An animated PNG is what a file that ends in .apng is.
    return VideoFile(path) if path.suffix.lower() == ".png" else Stack(path, fps=fps)


def _paged(file: Path) -> bool:
    return file.suffix.lower() in PAGED and is_stack(file)


def _refuse_twins(files: list[Path]) -> None:
    stems: dict[str, Path] = {}
    for file in files:
        twin = stems.setdefault(file.stem, file)
        if twin is not file:
            raise DataError(f"{named(twin)} and {named(file.name)} would be the same frame; keep one of them")


def _checked(array: np.ndarray, index: int) -> UInt8[np.ndarray, "y x 3"]:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        came = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(f"frame {index} is {came}; expected an RGB uint8 array of shape (height, width, 3)")
    return array


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
