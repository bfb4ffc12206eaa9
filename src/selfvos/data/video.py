"""Video files, read frame by frame in constant memory: all of them, or any, forwards and backwards."""

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from jaxtyping import UInt8

from selfvos.data.containers import (
    DEFAULT_FPS,
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
from selfvos.data.tone import rgb_of
from selfvos.errors import BrokenVideo, UsageError
from selfvos.types import Frame

__all__ = ["DEFAULT_FPS", "VideoFile"]

logger = logging.getLogger(__name__)

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
        for picture in decoded(stream, self._hurried(chain([first], given), stream, start), tally):
            number = table.number(picture.pts)
            # Those before the key frame came out broken, if they did: what they build on was not decoded.
            if number is not None and number >= start:
                yield number, float(table.seconds[number]), picture

    def _hurried(self, given: Iterator[av.Packet], stream: VideoStream, start: int) -> Iterator[av.Packet]:
        """Have the decoder leave out pictures before one that no other is built on: nobody sees them."""
        table = cast(FrameTable, self._table)
        for packet in given:
            number = table.number(packet.pts)
            early = number is not None and number < start
            stream.codec_context.skip_frame = "NONREF" if early else "DEFAULT"
            yield packet

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
        # Masks need one size, so frames after a change of size are scaled to the first's.
        rgb = rgb_of(picture, (self._height, self._width))
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
