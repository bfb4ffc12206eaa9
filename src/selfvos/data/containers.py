"""Video files opened for reading: which stream is the video, which packets can be read, what comes out of them."""

import errno
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.error import PermissionError as NotPermitted
from av.sidedata.sidedata import SideDataContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from selfvos.data.files import named, require_file
from selfvos.data.pictures import MOST_PIXELS
from selfvos.errors import BrokenVideo

DEFAULT_FPS = 25.0
"""Frames per second of what does not say."""
LOWEST_FPS, HIGHEST_FPS = 0.001, 1000

# Containers that hold their own pictures. Playlists and scripts (hls, concat, dash, image2 ...) are left out, for they
# make the reader open other files or connections, whatever the file itself is called.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,"
    "flv,asf,ogg,mxf,mxf_opatom,dv,gif,apng,yuv4mpegpipe,nut,rm"
)
_UNREADABLE_IN_A_ROW = 16
_STILL = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
_GIANT = 2**24
"""Pixels above which pictures are decoded by few threads, since each holds some, and bombs are looked for."""
_MOST_IN_ALL = 2**33
_MOST_PER_BYTE = 2**14
"""Pixels in a byte above which a long video of giant pictures is one made to exhaust whoever opens it."""

Turn = Callable[[np.ndarray], np.ndarray]


@dataclass
class Tally:
    """What became of the packets of one reading."""

    skipped: int = 0
    end: float = 0.0
    """When the last packet's picture ends, in seconds of the stream's clock."""
    cut_packet: bool = False
    """The last packet is shorter than announced."""
    gave_up: bool = False
    """The container itself could not be read on."""

    def note(self, packet: av.Packet) -> None:
        """Take in one packet that was read."""
        self.cut_packet = packet.is_corrupt
        if packet.pts is not None:
            self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video for decoding and pick its stream of moving pictures.

    Raises:
        UsageError: There is no such file.
        BrokenVideo: It is no video, or may not be read.
    """
    with container_of(path) as container:
        yield container, _moving_pictures(container, path)


@contextmanager
def container_of(path: Path) -> Iterator[InputContainer]:
    """Open a file of pictures or sound.

    Raises:
        UsageError: There is no such file.
        BrokenVideo: It is of no kind that is read, or may not be read.
    """
    require_file(path, BrokenVideo)
    try:
        container = av.open(
            f"file:{path.absolute()}",  # so that nothing in it is taken for a protocol or a pattern
            options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file", "max_pixels": str(MOST_PIXELS)},
            metadata_errors="replace",
        )
    except NotPermitted as error:
        raise BrokenVideo(f"{named(path)} may not be read: permission denied; change its permissions") from error
    except (FFmpegError, ValueError) as error:
        raise BrokenVideo(f"{named(path)} {_why_closed(path, error)}") from error
    with container:
        yield container


def frame_rate(stream: VideoStream) -> float:
    """Return the frame rate; files of a single frame or with a damaged head announce impossible ones."""
    announced = [float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
    return next((rate for rate in announced if LOWEST_FPS <= rate <= HIGHEST_FPS), DEFAULT_FPS)


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Return the width of a stored pixel divided by its height, 1 where nothing is said."""
    aspect = stream.sample_aspect_ratio
    return Fraction(aspect) if aspect and aspect > 0 else Fraction(1)


def packets(container: InputContainer, stream: VideoStream, tally: Tally) -> Iterator[av.Packet]:
    """Yield the packets that can be read, stepping over places where the container is damaged."""
    found = container.demux(stream)
    failures = 0
    while failures < _UNREADABLE_IN_A_ROW:
        try:
            packet = next(found, None)
        except FFmpegError:
            failures += 1
            tally.skipped += 1
            found = container.demux(stream)
            continue
        if packet is None:
            return
        failures = 0
        if packet.size:  # what is empty flushes the decoder, and that comes last
            tally.note(packet)
            yield packet
    tally.gave_up = True


def decoded(stream: VideoStream, given: Iterator[av.Packet], tally: Tally) -> Iterator[av.VideoFrame]:
    """Yield the pictures of all packets that can be decoded, and keep count of those that cannot."""
    for packet in given:
        try:
            pictures = stream.decode(packet)
        except MemoryError:  # a packet that there is no memory for is none that is damaged
            raise
        except FFmpegError:
            tally.skipped += 1
            continue
        yield from pictures
    yield from _remaining(stream, tally)


def ends_early(container: InputContainer, stream: VideoStream, tally: Tally) -> bool:
    """Compare what was read, up to the end, with what the file's head announces."""
    if tally.gave_up or tally.cut_packet:
        return True
    # Times, not counts: counts include what an edit list hides (mp4) and frames stored as "same again" (avi).
    if stream.duration is not None and stream.time_base is not None:
        announced = float((stream.duration + (stream.start_time or 0)) * stream.time_base)
        return tally.end < announced - 0.1
    # The duration of the whole file may be that of its sound, which commonly runs on a little.
    announced = ((container.duration or 0) + (container.start_time or 0)) / av.time_base
    return tally.end < announced - 1.0


def lies(picture: av.VideoFrame) -> bool:
    """Tell whether a picture is stored lying on its side, as phones held upright do."""
    a, b, *_ = _matrix(picture)
    return abs(b) > abs(a)


def turning(picture: av.VideoFrame) -> Turn:
    """Return how to turn pixels as the display matrix of a picture demands."""
    # x' = a x + c y and y' = b x + d y.
    a, b, _, c, d, *_ = _matrix(picture)
    lying = lies(picture)
    right, down = (c, b) if lying else (a, d)

    def turn(rgb: np.ndarray) -> np.ndarray:
        stood = rgb.swapaxes(0, 1) if lying else rgb
        return stood[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]

    return turn


def _matrix(picture: av.VideoFrame) -> tuple[int, ...]:
    matrix = cast(SideDataContainer, picture.side_data).get("DISPLAYMATRIX")
    if matrix is None:
        return 1, 0, 0, 0, 1, 0, 0, 0, 1
    return struct.unpack("=9i", bytes(matrix)[:36])  # in the byte order of the machine


def _remaining(stream: VideoStream, tally: Tally) -> list[av.VideoFrame]:
    try:
        return stream.decode(None)
    except MemoryError:
        raise
    except FFmpegError:
        tally.skipped += 1
        return []


def _why_closed(path: Path, error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EINVAL:
        return "is a playlist, or of a kind that is not accepted; convert it to mp4"
    with path.open("rb") as file:
        quicktime = file.read(8)[4:] == b"ftyp"
    if quicktime:
        return "has no index (moov atom): the recording or copy broke off; copy or download it again"
    return "is not a video that can be read; check the file, or convert it to mp4"


def _moving_pictures(container: InputContainer, path: Path) -> VideoStream:
    stream = moving_pictures(container)
    if stream is None:
        raise BrokenVideo(f"{named(path)} holds no video, only {_kinds(container)}")
    context = stream.codec_context
    if context is None:
        raise BrokenVideo(f"{named(path)}: no decoder for its video stream; convert it to H.264 mp4")
    pixels = context.width * context.height
    if pixels > MOST_PIXELS:
        raise BrokenVideo(f"{named(path)} announces {pixels} pixels a frame, more than {MOST_PIXELS}; scale it down")
    context.options = {"max_pixels": str(MOST_PIXELS)}
    stream.thread_type = "AUTO"
    if pixels > _GIANT:
        _refuse_bomb(container, stream, pixels, path)
        context.thread_count = max(1, 4 * _GIANT // pixels)
    return stream


def _refuse_bomb(container: InputContainer, stream: VideoStream, pixels: int, path: Path) -> None:
    seconds = (container.duration or 0) / av.time_base
    in_all = pixels * max(stream.frames, round(seconds * frame_rate(stream)))
    size = path.stat().st_size
    if in_all > _MOST_IN_ALL and in_all > _MOST_PER_BYTE * size:
        raise BrokenVideo(
            f"{named(path)} announces {in_all} pixels in {size} bytes, as a decompression bomb does; scale it down"
        )


def moving_pictures(container: InputContainer) -> VideoStream | None:
    """Return the stream that players show: no cover, no preview picture, whatever comes first in the file."""
    streams = [stream for stream in container.streams.video if not stream.disposition & _STILL]
    moving = [stream for stream in streams if stream.frames != 1] or streams
    best = container.streams.best("video")
    return next(
        (stream for stream in moving if best is not None and stream.index == best.index), next(iter(moving), None)
    )


def _kinds(container: InputContainer) -> str:
    kinds = {"cover art" if s.type == "video" else s.type for s in container.streams}
    return " and ".join(sorted(kinds)) or "nothing"
