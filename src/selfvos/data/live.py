"""A camera or stream as a source without an end: the newest frame each time, reconnecting when it drops."""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import UInt8

from selfvos.data.containers import frame_rate, pixel_aspect, turning
from selfvos.data.streams import Address, address_of, opened_live, reason
from selfvos.data.tone import rgb_of
from selfvos.errors import BrokenVideo, UsageError
from selfvos.types import Frame, Watch, go_on, ignore

logger = logging.getLogger(__name__)

_POLL_S = 0.1
_GOODBYE_S = 2.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_JUMP_S = 10.0
"""Seconds by which a stream's clock may stray from the machine's; beyond, it was set anew."""
_LEAST_S = 1e-3


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """How long to wait for frames that do not come."""

    patience_s: float = 10.0
    """Seconds without data after which a connection counts as lost, and is made anew."""
    silence_s: float = 60.0
    """Seconds without a frame, connections made anew included, after which the source counts as ended."""

    def __post_init__(self) -> None:
        for name in ("patience_s", "silence_s"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be > 0, got {getattr(self, name)}")


class LiveSource:
    """The frames of a camera or stream, as a `Source` without a length that can be read once.

    A thread decodes all that comes; whoever asks gets the newest frame, and those in between are dropped and counted.
    Frames are numbered as they are taken, without gaps; their seconds are those of the clock, gaps included.

    Reading ends without an error when the watch asks to stop, and when no frame came for too long: then `partial` is
    true and a warning is logged. Use it as a context manager, or call `close`.
    """

    count, sound = None, None

    def __init__(self, what: str, config: LiveConfig | None = None, *, watch: Watch = ignore) -> None:
        """Connect and wait for the first picture.

        Args:
            what: Number of a camera, or address of a stream.
            config: How long to wait.
            watch: Asked to go on while waiting.

        Raises:
            UsageError: It is no address of a known kind.
            BrokenVideo: Nothing comes from there.
            Stopped: The watch asked for it before the first picture.
        """
        self.address = address_of(what)
        self.name = self.address.name
        self.partial = False
        """Whether the last reading ended because no frame came any more."""
        self._config, self._watch = config or LiveConfig(), watch
        self._reader = _Reader(self.address, self._config)
        try:
            while not self._reader.wait():
                go_on(watch)
                self._reader.check()
        except BaseException:
            self.close()
            raise
        self._first = self._reader.newest()
        self.size = _size(self._first.picture)
        self.fps, self.pixel_aspect = self._reader.fps, self._reader.pixel_aspect

    @property
    def dropped(self) -> int:
        """Frames that came and were not taken, since the first one that was."""
        return self._reader.dropped

    @property
    def reconnected(self) -> int:
        """How often the connection was made anew."""
        return self._reader.reconnected

    def close(self) -> None:
        """Disconnect; where nothing comes just now that takes a moment longer than this does."""
        self._reader.close()

    def __enter__(self) -> "LiveSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exact_count(self) -> None:
        """Return None: nobody knows."""
        return

    def newest(self) -> UInt8[np.ndarray, "y x 3"]:
        """Return the picture that came last, without taking it."""
        return self._rgb(self._reader.newest().picture)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the source ends or is stopped."""
        return self.frames()

    def frames(self, start: int | None = None, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Yield the newest frame each time; see `Source.frames`.

        Args:
            start: 0 or None: what has passed cannot be had.
            stop: How many frames to take.
            step: 1.

        Raises:
            UsageError: Other frames are asked for.
        """
        if start or step != 1:
            raise UsageError(f"{self.address.shown} is live: frames come one after the other, from now on")
        return self._frames(stop)

    def _frames(self, stop: int | None) -> Iterator[Frame]:
        begin, index = None, 0
        while (stop is None or index < stop) and (arrived := self._next()) is not None:
            begin = arrived.seconds if begin is None else begin
            yield Frame(
                rgb=self._rgb(arrived.picture), index=index, name=f"{index:05d}", seconds=arrived.seconds - begin
            )
            index += 1

    def _next(self) -> "_Arrived | None":
        self.partial = False
        while not self._watch.stopped():
            if self._reader.wait():
                return self._reader.take()
            if self._reader.silent_s() > self._config.silence_s:
                self.partial = True
                logger.warning("%s: no frame for %g s; it has ended", self.address.shown, self._config.silence_s)
                return None
        return None

    def _rgb(self, picture: av.VideoFrame) -> UInt8[np.ndarray, "y x 3"]:
        turn = turning(picture)
        height, width = self.size if _size(picture) == (picture.height, picture.width) else self.size[::-1]
        return np.ascontiguousarray(turn(rgb_of(picture, (height, width))))


class _Arrived(NamedTuple):
    picture: av.VideoFrame
    seconds: float
    """Since the connection was first made."""


class _Reader:
    """Decodes in a thread, and keeps the newest picture alone."""

    def __init__(self, address: Address, config: LiveConfig) -> None:
        self.left = threading.Event()
        self.failed: BrokenVideo | None = None
        """Why no picture came at all."""
        self.dropped, self.reconnected = 0, 0
        self.fps, self.pixel_aspect = 0.0, Fraction(1)
        self._address, self._patience_s, self._silence_s = address, config.patience_s, config.silence_s
        self._pace = _Pace()
        self._came = threading.Condition()
        self._newest: _Arrived | None = None
        self._fresh, self._taken = False, False
        self._last_came = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="selfvos-live", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Have the thread end with the next packet, and wait for that a moment: cameras are lent to one at a time."""
        self.left.set()
        self._thread.join(_GOODBYE_S)

    def wait(self) -> bool:
        """Wait a moment for a picture that was not taken yet; return whether there is one."""
        with self._came:
            return self._came.wait_for(lambda: self._fresh, timeout=_POLL_S)

    def check(self) -> None:
        """Raise `BrokenVideo` where it is plain that no first picture will come."""
        if self.failed is not None:
            raise self.failed
        if self.silent_s() > self._silence_s:
            raise BrokenVideo(f"{self._address.shown}: no picture for {self._silence_s:g} s; check that it is sending")

    def newest(self) -> _Arrived:
        """Return the picture that came last."""
        with self._came:
            assert self._newest is not None
            return self._newest

    def take(self) -> _Arrived:
        """Return the picture that came last; those that come before the next `take` count as dropped, but for one."""
        with self._came:
            self._fresh, self._taken = False, True
            assert self._newest is not None
            return self._newest

    def silent_s(self) -> float:
        """Return the seconds since the last picture."""
        return time.monotonic() - self._last_came

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self.left.is_set():
            before = self._last_came
            try:
                trouble = self._read()
            except BrokenVideo as error:
                if self._newest is None:
                    self.failed = error
                    return
                trouble = str(error)
            pause = _FIRST_PAUSE_S if self._last_came > before else min(2 * pause, _LONGEST_PAUSE_S)
            if not self.left.wait(pause):
                logger.warning("%s: %s; connecting again", self._address.shown, trouble)
                self.reconnected += 1
                self._pace.forget()

    def _read(self) -> str:
        """Read one connection to its end, and say how it ended."""
        with opened_live(self._address, patience_s=self._patience_s) as (container, stream):
            self.fps, self.pixel_aspect = frame_rate(stream), pixel_aspect(stream)
            packets = container.demux(stream)
            while not self.left.is_set():
                try:
                    packet = next(packets, None)
                except FFmpegError as error:
                    return reason(error, self._patience_s)
                if packet is None or (not packet.size and packet.dts is None):
                    break
                self._decode(packet)
        return "the stream ended"

    def _decode(self, packet: av.Packet) -> None:
        try:
            pictures = packet.decode()
        except FFmpegError:  # a packet was lost on the way: what builds on it comes out with the next key frame
            return
        for picture in pictures:
            if isinstance(picture, av.VideoFrame):
                seconds = self._pace.due(picture.time)
                # Streams that are sent in parts, as HLS is, come many seconds at once.
                self.left.wait(max(0.0, seconds - self._pace.now()))
                self._put(_Arrived(picture, seconds))

    def _put(self, arrived: _Arrived) -> None:
        with self._came:
            self.dropped += self._fresh and self._taken
            self._newest, self._fresh = arrived, True
            self._last_came = time.monotonic()
            self._came.notify_all()


class _Pace:
    """Says when each picture is to be shown, by the stream's clock set against the machine's."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._anchor: tuple[float, float] | None = None
        self._last = -_LEAST_S

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._begin

    def forget(self) -> None:
        """Take it that the stream's clock begins anew."""
        self._anchor = None

    def due(self, stream_s: float | None) -> float:
        """Return the second since the beginning at which a picture is to be shown; it rises from picture to picture."""
        now = self.now()
        shown = now if stream_s is None else self._by_stream(stream_s, now)
        self._last = max(shown, self._last + _LEAST_S)
        return self._last

    def _by_stream(self, stream_s: float, now: float) -> float:
        if self._anchor is None or abs(stream_s - self._anchor[1] - (now - self._anchor[0])) > _JUMP_S:
            self._anchor = now, stream_s
        return self._anchor[0] + stream_s - self._anchor[1]


def _size(picture: av.VideoFrame) -> tuple[int, int]:
    """Return height and width of a picture as it stands."""
    turn = turning(picture)
    height, width = turn(np.empty((picture.height, picture.width, 0), np.uint8)).shape[:2]
    return height, width
