"""Video files: read frame by frame in constant memory, written so that a half file never has the final name."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8

from selfvos.data.containers import (
    DEFAULT_FPS,
    HIGHEST_FPS,
    LOWEST_FPS,
    Tally,
    decoded,
    ends_early,
    frame_rate,
    lies,
    opened,
    packets,
    pixel_aspect,
    turning,
)
from selfvos.data.files import named
from selfvos.data.frame_table import Clock, FrameTable, Numbers, agrees, read_table
from selfvos.data.spans import backwards, check_span, most_held, span
from selfvos.data.tone import curve_of, tone_mapped, uses_bt2020
from selfvos.errors import BrokenVideo, DataError, UsageError
from selfvos.storage import atomic_path
from selfvos.types import Frame

logger = logging.getLogger(__name__)

_LOWEST_FPS, _HIGHEST_FPS = LOWEST_FPS, HIGHEST_FPS

Numbered = tuple[int, float, av.VideoFrame]
"""A picture with its number and the second at which it is shown."""


class VideoFile:
    """The frames of a video file, upright, in decoding order; read anew by every `for` loop.

    Only the frames in flight are in memory, and a bounded part of them where they are read backwards. Damaged packets
    are left out, and the numbers of what they held with them; where the file breaks off, the frames so far are given, a
    warning is logged and `partial` becomes true. Pixels that are not square stay as stored; `pixel_aspect` tells.
    """

    def __init__(self, path: Path | str) -> None:
        """Open the file once, to learn its size and that it holds at least one picture.

        Args:
            path: A file on this machine, in any of the common containers.

        Raises:
            UsageError: There is no such file.
            BrokenVideo: It is no video, may not be read, or none of its frames can be.
        """
        self.path = Path(path)
        self.name = self.path.stem
        self.partial = False
        """Whether the last reading found the file broken off before its end."""
        self.skipped = 0
        """Damaged packets that the last reading left out."""
        self._table: FrameTable | str | None = None
        self._counted: int | None = None
        with opened(self.path) as (container, stream):
            tally = Tally()
            first = next(decoded(stream, packets(container, stream, tally), tally), None)
            if first is None:
                raise BrokenVideo(f"{named(self.path)}: no frame of the video can be read; copy or download it again")
            self._width, self._height, self._first = first.width, first.height, first.pts
            self._turn = turning(first)
            self.fps = frame_rate(stream)
            self.count = stream.frames or None
            self.pixel_aspect = 1 / pixel_aspect(stream) if lies(first) else pixel_aspect(stream)
            self.sound = self.path if container.streams.audio else None
        height, width = self._turn(np.empty((self._height, self._width, 0), np.uint8)).shape[:2]
        self.size = (height, width)

    @property
    def seekable(self) -> bool:
        """Whether any frame is found without decoding all that come before it; answering reads through the file."""
        return isinstance(self._places(), FrameTable)

    def exact_count(self) -> int:
        """Return the number of frames, from the packets where these tell, else by decoding all."""
        if self._counted is None:
            table = self._places()
            if isinstance(table, FrameTable):
                self._counted = len(table)
            else:
                self._counted = max((number + 1 for number, _, _ in self._pictures(0)), default=0)
        return self._counted

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames one by one; `seconds` counts from the first of them and never goes back."""
        return self.frames()

    def frames(self, start: int | None = None, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Yield some frames; see `Source.frames`.

        Decoding begins at the nearest key frame. A file whose frames cannot be told from its packets is read from its
        beginning for every part, and a warning is logged.

        Raises:
            UsageError: There is no such frame.
        """
        check_span(start, stop, step)
        if step > 0 and not start:
            return self._forwards(range(0, -1 if stop is None else stop, step))
        table = self._places()
        if isinstance(table, str):
            logger.warning(
                "%s cannot be sought: %s; every part is read from the beginning; convert it to mp4 if that is too slow",
                *(named(self.path), table),
            )
            if step > 0:
                return self._forwards(range(start or 0, -1 if stop is None else stop, step))
        wanted = span(start, stop, step, count=self.exact_count(), name=named(self.path))
        return self._forwards(self._open_end(wanted)) if step > 0 else self._backwards(wanted, table)

    def _backwards(self, wanted: range, table: FrameTable | str) -> Iterator[Frame]:
        most = most_held(self.size)

        def begin(last: int) -> int:
            return table.begin(last, most) if isinstance(table, FrameTable) else max(0, last + 1 - most)

        return backwards(wanted, lambda part: self._forwards(self._open_end(part)), begin)

    def _open_end(self, wanted: range) -> range:
        """Return a range that reaches the last frame without an end, so that reading sees how the file ends."""
        return wanted if wanted.stop < self.exact_count() else range(wanted.start, -1, wanted.step)

    def _forwards(self, wanted: range) -> Iterator[Frame]:
        """Yield rising frames; a stop of -1 means to the end."""
        last = -1
        for last, seconds, picture in self._pictures(wanted.start):
            if 0 <= wanted.stop <= last:
                return
            if (last - wanted.start) % wanted.step == 0:
                yield Frame(rgb=self._rgb(picture), index=last, name=f"{last:05d}", seconds=seconds)
        if last < wanted.start and isinstance(self._table, str):
            raise UsageError(f"{named(self.path)} has no frame {wanted.start}: it ends before")

    def _pictures(self, start: int) -> Iterator[Numbered]:
        """Yield the pictures from one number on to the end."""
        table = self._table
        for place in table.entries(start) if isinstance(table, FrameTable) else ():
            with opened(self.path) as (container, stream):
                tally = Tally()
                found = self._sought(container, stream, tally, place=place, start=start)
                first = next(found, None)
                # Some streams cannot be decoded right from a key frame on: then from an earlier one.
                if first is None or first[0] != start:
                    continue
                last = start
                for last, seconds, picture in chain([first], found):
                    yield last, seconds, picture
                self._conclude(container, stream, tally, last + 1)
                return
        yield from self._from_beginning(start)

    def _from_beginning(self, start: int) -> Iterator[Numbered]:
        tally = Tally()
        numbers, number = Numbers(tally), -1
        with opened(self.path) as (container, stream):
            # The stream's clock, not the picture's: the last pictures come out of the decoder without one.
            clock = Clock(stream.time_base, self.fps)
            for picture in decoded(stream, numbers.watch(packets(container, stream, tally)), tally):
                number, seconds = numbers.of(picture), clock.seconds(picture.pts)
                if number >= start:
                    yield number, seconds, picture
            self._conclude(container, stream, tally, number + 1)

    def _sought(
        self, container: InputContainer, stream: VideoStream, tally: Tally, *, place: int, start: int
    ) -> Iterator[Numbered]:
        """Yield the pictures from one number on, decoded from about a place on; nothing where that misses."""
        table = cast(FrameTable, self._table)
        try:
            container.seek(place, stream=stream)
        except FFmpegError:
            return
        given = packets(container, stream, tally)
        first = next((packet for packet in given if packet.is_keyframe), None)
        entry = None if first is None else table.entry(first)
        if first is None or entry is None or entry > start:
            return
        for picture in decoded(stream, chain([first], given), tally):
            number = table.number(picture.pts)
            # Those before the key frame came out broken, if they did: what they build on was not decoded.
            if number is not None and number >= start:
                yield number, float(table.seconds[number]), picture

    def _places(self) -> FrameTable | str:
        """Return where each frame is; or, where packets do not tell, the reason."""
        if self._table is None:
            with opened(self.path) as (container, stream):
                table = read_table(container, stream, first=self._first, fps=self.fps)
            if isinstance(table, FrameTable):
                with opened(self.path) as (container, stream):
                    alike = agrees(table, stream, container)
                table = table if alike else "its packets do not tell its frames"
            self._table = table
        return self._table

    def _rgb(self, picture: av.VideoFrame) -> UInt8[np.ndarray, "y x 3"]:
        # A stream may change its size on the way; masks need one size, so later frames are scaled to the first's.
        # One thread: at video sizes, starting several takes longer than the conversion.
        curve = curve_of(picture)
        form = "rgb24" if curve is None else "rgb48le"
        rgb = picture.to_ndarray(format=form, width=self._width, height=self._height, threads=1)
        if curve is not None:
            rgb = tone_mapped(rgb, curve, wide=uses_bt2020(picture))
        return np.ascontiguousarray(self._turn(rgb))

    def _conclude(self, container: InputContainer, stream: VideoStream, tally: Tally, frames: int) -> None:
        self.partial = ends_early(container, stream, tally)
        self.skipped = tally.skipped
        if self.skipped:
            logger.warning("%s: %d damaged packets left out", named(self.path), self.skipped)
        if self.partial:
            logger.warning(
                "%s breaks off: %d of %s frames read", named(self.path), frames, self.count or "an unknown number of"
            )


class VideoWriter:
    """Writes an H.264 mp4 frame by frame; the file takes its name when the `with` block ends well.

    After an exception in the block nothing is left of it, and a file that was there before is untouched. Without a
    single frame there is no file. Odd sides grow by one repeated row or column, which 4:2:0 colour needs.
    """

    def __init__(self, path: Path | str, *, fps: float = DEFAULT_FPS, crf: int = 20) -> None:
        """Remember where and how to write.

        Args:
            path: The mp4 to write; missing folders are made.
            fps: Frames per second, 0.001 to 1000.
            crf: Constant rate factor, 1 (best) to 51 (smallest); 18 can hardly be told from the original.

        Raises:
            UsageError: A rate or a factor out of range.
        """
        if not _LOWEST_FPS <= fps <= _HIGHEST_FPS:
            raise UsageError(f"fps must be between {_LOWEST_FPS} and {_HIGHEST_FPS}, got {fps}")
        if not 1 <= crf <= 51:
            raise UsageError(f"crf must be between 1 and 51, got {crf}")
        self.path = Path(path)
        self.frames = 0
        """Frames given so far."""
        # 1001 restores the rates of television exactly: 29.97... is 30000/1001.
        self._rate = Fraction(fps).limit_denominator(1001)
        # The finest clock of 16 bits that the even rate falls on, so that uneven times fit in as well.
        self._clock = Fraction(1, self._rate.numerator * max(1, 65535 // self._rate.numerator))
        self._last = -1
        self._crf = crf
        self._stack = ExitStack()
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, rgb: UInt8[np.ndarray, "y x 3"], seconds: float | None = None) -> None:
        """Append one frame, of the size of the first.

        Args:
            rgb: The picture.
            seconds: When it is shown, from the start of the video; by default evenly, as `fps` says.

        Raises:
            DataError: It has another size.
        """
        if not self._shape:
            self._open(rgb.shape)
        elif rgb.shape != self._shape:
            raise DataError(f"frame is {_by(rgb.shape)}, the video is {_by(self._shape)}; frames must keep one size")
        even = np.pad(rgb, [(0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)], mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, threads=1)
        shown = self.frames / self._rate if seconds is None else seconds
        self._last = max(self._last + 1, round(shown / self._clock))
        picture.pts, picture.time_base = self._last, self._clock
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def _open(self, shape: tuple[int, ...]) -> None:
        path = self._stack.enter_context(atomic_path(self.path))
        container = av.open(_url(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._container: OutputContainer = self._stack.enter_context(container)
        codec, options = _encoder(self._crf)
        self._stream = cast(VideoStream, self._container.add_stream(codec, rate=self._rate, options=options))
        self._shape = shape
        self._stream.height, self._stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = self._clock
        # Say how colours are stored; players guess differently for small and large videos.
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1  # 16 ... 235
        self._stack.push(self._drain)

    def _drain(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))


def _encoder(crf: int) -> tuple[str, dict[str, str]]:
    if "libx264" in av.codecs_available:
        # Without B-frames decoding times are presentation times, which keeps uneven ones right.
        return "libx264", {"crf": str(crf), "preset": "veryfast", "bf": "0"}
    # MPEG-4 part 2 is built in everywhere; its quantiser runs from 2 to 31.
    quantiser = str(max(2, round(crf * 31 / 51)))
    return "mpeg4", {"qmin": quantiser, "qmax": quantiser}


def _url(path: Path) -> str:
    """Return a path so that nothing in it is taken for a protocol or a pattern."""
    return f"file:{path.absolute()}"


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
