"""The number and the time of every frame of a video file, learned without decoding it."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from math import ceil

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Float64, Int64

from selfvos.data.containers import LOWEST_FPS, Tally, decoded, ends_early, packets

_COMPARED = 16
"""Pictures that are decoded to see whether the packets tell the truth."""
_MOST_WAITING = 1024
_MOST_REORDERED = 64
"""Frames are decoded at most 16 places away from where they are shown."""
_JITTER = 8
"""Frames by which times may fall without being those of a clock that was set anew."""
# The animations: their demuxers only go forwards, and call pictures that build on others independent.
_FORWARD_ONLY = {"gif", "apng"}


class Clock:
    """Turns the times of pictures, in ticks of the stream, to seconds from the first of them that never go back.

    Recorders restart their clocks and set them by hours. Where time falls, or jumps further than the longest time that
    a frame can be shown, the next frame is taken to follow the last at the frame rate. Where it falls by a few frames
    only, as in containers that number frames as they are decoded, the frame is shown with the one before.
    """

    def __init__(self, tick: Fraction | None, fps: float) -> None:
        """Start before the first picture.

        Args:
            tick: Seconds of one tick; None where nobody knows.
            fps: Frames per second.
        """
        self._tick = tick
        self._fps = fps
        self._usual = max(1, round(1 / (fps * tick))) if tick else 1
        self._origin: int | None = None
        self._last = 0
        self._shown = 0
        self._seen = 0

    def seconds(self, ticks: int | None) -> float:
        """Return when the next picture is shown."""
        self._seen += 1
        if self._tick is None or (self._origin is None and ticks is None):
            return (self._seen - 1) / self._fps
        if ticks is None:
            ticks = self._last + self._usual
        if self._origin is None:  # frames without a time may have come before
            self._origin, self._last = ticks - ceil((self._seen - 1) / (self._fps * self._tick)), ticks
        elif not -_JITTER * self._usual <= ticks - self._last <= 1 / (LOWEST_FPS * self._tick):
            self._origin = ticks - self._shown - self._usual
        self._last, self._shown = ticks, max(self._shown, ticks - self._origin)
        return float(self._shown * self._tick)


class Numbers:
    """Numbers pictures as they come out of a decoder; one that was damaged keeps its number, and leaves a gap."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._waiting: list[int] = []
        self._told = 0
        self._next = 0

    def watch(self, given: Iterator[av.Packet]) -> Iterator[av.Packet]:
        """Hand on the packets of a stream, and remember which pictures they announce."""
        for packet in given:
            if packet.pts is not None and not packet.is_discard and len(self._waiting) < _MOST_WAITING:
                heapq.heappush(self._waiting, packet.pts)
            yield packet

    def of(self, picture: av.VideoFrame) -> int:
        """Return the number of the next picture."""
        missed = 0
        while picture.pts is not None and self._waiting and self._waiting[0] <= picture.pts:
            missed += heapq.heappop(self._waiting) < picture.pts
        # Pictures also fail to come without damage: before the first key frame, or where two packets are one picture.
        lost = min(missed, self._tally.skipped - self._told) if self._next else 0
        self._told = self._told + lost if self._next else self._tally.skipped
        self._next += lost + 1
        return self._next - 1


@dataclass(frozen=True)
class FrameTable:
    """Where each frame of a video file is."""

    ticks: Int64[np.ndarray, " n"]
    """Presentation time of each frame in ticks of the stream, rising."""
    seconds: Float64[np.ndarray, " n"]
    keys: Int64[np.ndarray, " k"]
    """Numbers of the frames at which decoding can begin, rising."""
    places: Int64[np.ndarray, " k"]
    """What to seek to for each of them, in ticks."""
    sizes: Int64[np.ndarray, " k"]
    """Bytes of the packet of each of them."""
    partial: bool
    """Whether the file breaks off before its announced end."""

    def __len__(self) -> int:
        return len(self.ticks)

    def number(self, ticks: int | None) -> int | None:
        """Return the number of the frame shown at a time; None where there is none."""
        if ticks is None:
            return None
        place = int(np.searchsorted(self.ticks, ticks))
        return place if place < len(self) and self.ticks[place] == ticks else None

    def entry(self, packet: av.Packet) -> int | None:
        """Return the number of the key frame in a packet read after seeking; None where its time cannot be true."""
        number = self.number(packet.pts)
        place = -1 if number is None else int(np.searchsorted(self.keys, number))
        # In some containers times are worked out from what was read before, and are wrong at first.
        known = 0 <= place < len(self.keys) and self.keys[place] == number and self.sizes[place] == packet.size
        return number if known else None

    def entries(self, frame: int) -> Iterator[int]:
        """Yield ticks to seek to before decoding a frame: of the nearest key frame before it, then of earlier ones."""
        nearest = int(np.searchsorted(self.keys, frame, side="right")) - 1
        for back in (0, 1, 3):
            if nearest - back > 0:
                yield int(self.places[nearest - back])

    def begin(self, last: int, most: int) -> int:
        """Return where a part of at most so many frames that ends with `last` begins: at a key frame if possible."""
        lowest = max(0, last + 1 - most)
        place = int(np.searchsorted(self.keys, lowest))
        return int(self.keys[place]) if place < len(self.keys) and self.keys[place] <= last else lowest


@dataclass(frozen=True)
class _Announced:
    """What a packet says of its picture."""

    ticks: int
    place: int
    size: int
    key: bool


def read_table(container: InputContainer, stream: VideoStream, *, first: int | None, fps: float) -> FrameTable | str:
    """Go through the packets of a file that was just opened.

    Args:
        container: The file.
        stream: Its stream of pictures.
        first: Time of the first picture that comes out of the decoder, in ticks.
        fps: Frames per second.

    Returns:
        The table; or, where numbers cannot be told from packets, the reason in words.
    """
    if first is None or stream.time_base is None:
        return "its frames carry no times"
    if container.format.name in _FORWARD_ONLY:
        return "it is an animation, which can only be read onwards"
    tally = Tally()
    found = _announced(packets(container, stream, tally), first, stream.codec_context.name)
    found = found if isinstance(found, str) else _in_order(found)
    if isinstance(found, str):
        return found
    clock = Clock(stream.time_base, fps)
    keys = [number for number, one in enumerate(found) if one.key]
    return FrameTable(
        ticks=np.array([one.ticks for one in found], np.int64),
        seconds=np.array([clock.seconds(one.ticks) for one in found], np.float64),
        keys=np.array(keys, np.int64),
        places=np.array([found[number].place for number in keys], np.int64),
        sizes=np.array([found[number].size for number in keys], np.int64),
        partial=ends_early(container, stream, tally),
    )


def agrees(table: FrameTable, stream: VideoStream, container: InputContainer) -> bool:
    """Decode the beginning of a file that was just opened, and tell whether its pictures are those of the table.

    Interlaced streams can keep one picture in two packets, and some codecs have packets that show nothing.
    """
    tally = Tally()
    pictures = decoded(stream, packets(container, stream, tally), tally)
    times = [picture.pts for picture in islice(pictures, _COMPARED)]
    return bool(tally.skipped) or times == table.ticks[: len(times)].tolist()


def _announced(given: Iterator[av.Packet], first: int, codec: str) -> list[_Announced] | str:
    found: list[_Announced] = []
    before: int | None = None
    for packet in given:
        if packet.pts is None:
            return "some of its frames carry no time"
        if before is not None and packet.dts is not None and packet.dts < before:
            return "its clock jumps back"
        before = before if packet.dts is None else packet.dts
        # What an edit list hides, and what comes before the first picture that can be decoded, has no number.
        if packet.is_discard or packet.pts < first or (codec == "vp8" and not _is_shown(packet)):
            continue
        place = packet.pts if packet.dts is None else min(packet.pts, packet.dts)
        found.append(_Announced(packet.pts, place, packet.size, packet.is_keyframe))
    return found


def _in_order(found: list[_Announced]) -> list[_Announced] | str:
    """Sort what comes in decoding order by the time when it is shown."""
    order = sorted(range(len(found)), key=lambda place: found[place].ticks)
    if any(abs(place - number) > _MOST_REORDERED for number, place in enumerate(order)):
        return "its clock jumps back"
    if not found or any(found[a].ticks == found[b].ticks for a, b in pairwise(order)):
        return "several of its frames carry the same time"
    return [found[place] for place in order]


def _is_shown(packet: av.Packet) -> bool:
    """Read from the head of a VP8 frame whether it is to be shown, or only serves to predict others."""
    return bool(bytes(packet)[0] & 0x10)
