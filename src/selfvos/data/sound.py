"""The sound of a video, carried into another one packet by packet, without being encoded anew."""

import io
import math
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError

from selfvos.data.containers import container_of, moving_pictures

_RUN_UP_S = 0.05
"""Sound kept from before the first picture: decoders need a packet or two before they are right."""


class Sound:
    """The first sound track of a video file, from some moment on."""

    def __init__(self, path: Path | str, *, begin_s: float = 0.0) -> None:
        """Open the file, and see whether its sound can be carried.

        Args:
            path: A video file that can be read, or a file of sound alone.
            begin_s: The moment that becomes 0, in seconds from the first picture, or from 0 where there is none.
        """
        self._open = ExitStack()
        container = self._open.enter_context(container_of(Path(path)))
        picture = moving_pictures(container)
        found = container.streams.audio
        self._stream = found[0] if found else None
        self._waiting: av.Packet | None = None
        start_s = 0.0 if picture is None else float((picture.start_time or 0) * (picture.time_base or 0))
        self._origin_s = begin_s + start_s
        self.codec = "" if self._stream is None else self._stream.codec_context.name
        """Name of the codec; empty where there is no sound."""
        self.carried = self._stream is not None and _fits_mp4(self._stream)
        """Whether an mp4 takes the sound as it is."""
        self._packets = iter(container.demux(self._stream)) if self._stream else iter(())

    def __enter__(self) -> "Sound":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add_to(self, container: OutputContainer) -> AudioStream:
        """Announce the sound in a container that is about to be written."""
        assert self._stream is not None
        return container.add_stream_from_template(self._stream)

    def until(self, seconds: float) -> Iterator[av.Packet]:
        """Yield the packets that begin before a moment and were not yielded yet, on the new clock."""
        while (packet := self._next()) is not None:
            begin, end = _times(packet)
            if begin >= seconds:
                self._waiting = packet
                return
            if end > -_RUN_UP_S:
                yield packet

    def _next(self) -> av.Packet | None:
        packet, self._waiting = self._waiting, None
        # Where the file is damaged, the sound ends there.
        with suppress(FFmpegError):
            while packet is None:
                packet = next(self._packets, None)
                if packet is None:
                    return None
                packet = self._moved(packet)
        return packet

    def _moved(self, packet: av.Packet) -> av.Packet | None:
        if not packet.size or packet.pts is None or packet.dts is None:
            return None
        shift = round(self._origin_s / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        return packet


def copied_sound(path: Path) -> bytes:
    """Return the sound of a video as a file of its own, on the clock of the pictures; nothing where none can be copied.

    Packets are copied as they are. The kind of the file is NUT, which keeps moments before the first picture.
    """
    file = io.BytesIO()
    try:
        with Sound(path) as sound, av.open(file, "w", format="nut") as container:
            if not sound.codec:
                return b""
            stream = sound.add_to(container)
            for packet in sound.until(math.inf):
                packet.stream = stream
                container.mux(packet)
    except (FFmpegError, ValueError):
        return b""
    return file.getvalue()


def _times(packet: av.Packet) -> tuple[float, float]:
    begin = packet.pts or 0
    return float(begin * packet.time_base), float((begin + (packet.duration or 0)) * packet.time_base)


def _fits_mp4(stream: AudioStream) -> bool:
    """Try it: only the muxer knows."""
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (FFmpegError, ValueError):
        return False
    return True
