"""Video files, read frame by frame in constant memory."""

import errno
import logging
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from jaxtyping import UInt8

from selfvos.errors import BrokenVideo, UsageError
from selfvos.types import Frame

logger = logging.getLogger(__name__)

DEFAULT_FPS = 25.0
"""Frames per second of what does not say."""

MOST_PIXELS = 2**26
"""Largest picture that is decoded (8192 x 8192): a few hundred bytes can announce far more than memory holds."""

# Containers that hold their own pictures. Playlists and scripts (hls, concat, dash, image2 ...) are left out, for they
# make the reader open other files or connections, whatever the file itself is called.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,"
    "flv,asf,ogg,mxf,mxf_opatom,dv,gif,apng,yuv4mpegpipe,nut,rm"
)
_UNREADABLE_IN_A_ROW = 16
_LOWEST_FPS, _HIGHEST_FPS = 0.001, 1000

Turn = Callable[[np.ndarray], np.ndarray]


class VideoFile:
    """The frames of a video file, upright, in decoding order; read anew by every `for` loop.

    Only the frames in flight are in memory. Damaged packets are left out; where the file breaks off, the frames so
    far are given, a warning is logged and `partial` becomes true. Pixels that are not square stay as stored.
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
        with _opened(self.path) as (container, stream):
            first = next(_decoded(container, stream, _Tally()), None)
            if first is None:
                raise BrokenVideo(f"{self.path}: no frame of the video can be read; copy or download it again")
            self._width, self._height = first.width, first.height
            self._turn = _upright(first)
            self.fps = _rate(stream)
            self.count = stream.frames or None
        height, width = self._turn(np.empty((self._height, self._width, 0), np.uint8)).shape[:2]
        self.size = (height, width)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames one by one; `seconds` counts from the first of them."""
        tally = _Tally()
        index, start = 0, None
        with _opened(self.path) as (container, stream):
            for index, picture in enumerate(_decoded(container, stream, tally)):
                start = picture.pts if start is None else start
                # The stream's clock, not the picture's: the last pictures come out of the decoder without one.
                if picture.pts is None or start is None or stream.time_base is None:
                    seconds = index / self.fps
                else:
                    seconds = float((picture.pts - start) * stream.time_base)
                yield Frame(rgb=self._rgb(picture), index=index, name=f"{index:05d}", seconds=seconds)
            self._conclude(container, stream, tally, index + 1)

    def _rgb(self, picture: av.VideoFrame) -> UInt8[np.ndarray, "y x 3"]:
        # A stream may change its size on the way; masks need one size, so later frames are scaled to the first's.
        # One thread: at video sizes, starting several takes longer than the conversion.
        rgb = picture.to_ndarray(format="rgb24", width=self._width, height=self._height, threads=1)
        return np.ascontiguousarray(self._turn(rgb))

    def _conclude(self, container: InputContainer, stream: VideoStream, tally: "_Tally", frames: int) -> None:
        self.partial = tally.gave_up or tally.cut_packet or _ends_early(container, stream, tally)
        self.skipped = tally.skipped
        if self.skipped:
            logger.warning("%s: %d damaged packets left out", self.path, self.skipped)
        if self.partial:
            logger.warning(
                "%s breaks off: %d of %s frames read", self.path, frames, self.count or "an unknown number of"
            )


@dataclass
class _Tally:
    """What became of the packets of one reading."""

    skipped: int = 0
    end: float = 0.0
    """When the last packet's picture ends, in seconds of the stream's clock."""
    cut_packet: bool = False
    """The last packet is shorter than announced."""
    gave_up: bool = False
    """The container itself could not be read on."""


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video for decoding and pick its first stream of moving pictures."""
    _refuse_what_is_no_file(path)
    try:
        container = av.open(
            _url(path),
            options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file", "max_pixels": str(MOST_PIXELS)},
            metadata_errors="replace",
        )
    except NotPermitted as error:
        raise BrokenVideo(f"{path} may not be read: permission denied; change its permissions") from error
    except (FFmpegError, ValueError) as error:
        raise BrokenVideo(f"{path} {_why_closed(path, error)}") from error
    with container:
        yield container, _moving_pictures(container, path)


def _refuse_what_is_no_file(path: Path) -> None:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise UsageError(f"no such file: {path} ({getattr(error, 'strerror', error)})") from error
    if stat.S_ISDIR(status.st_mode):
        raise BrokenVideo(f"{path} is a folder, not a video file")
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or device could wait for ever
        raise BrokenVideo(f"{path} is not a regular file; copy the video to a file first")
    if status.st_size == 0:
        raise BrokenVideo(f"{path} is empty (0 bytes); copy or download it again")


def _why_closed(path: Path, error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EINVAL:
        return "is a playlist, or of a kind that is not accepted; convert it to mp4"
    with path.open("rb") as file:
        quicktime = file.read(8)[4:] == b"ftyp"
    if quicktime:
        return "has no index (moov atom): the recording or copy broke off; copy or download it again"
    return "is not a video that can be read; check the file, or convert it to mp4"


def _moving_pictures(container: InputContainer, path: Path) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise BrokenVideo(f"{path} holds no video, only {_kinds(container)}")
    stream = streams[0]
    if stream.codec_context is None:
        raise BrokenVideo(f"{path}: no decoder for its video stream; convert it to H.264 mp4")
    pixels = stream.codec_context.width * stream.codec_context.height
    if pixels > MOST_PIXELS:
        raise BrokenVideo(f"{path} announces {pixels} pixels a frame, more than {MOST_PIXELS}; scale it down")
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    stream.thread_type = "AUTO"
    return stream


def _rate(stream: VideoStream) -> float:
    """Return the frame rate; files of a single frame or with a damaged head announce impossible ones."""
    announced = [float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
    return next((rate for rate in announced if _LOWEST_FPS <= rate <= _HIGHEST_FPS), DEFAULT_FPS)


def _kinds(container: InputContainer) -> str:
    kinds = {"cover art" if s.type == "video" else s.type for s in container.streams}
    return " and ".join(sorted(kinds)) or "nothing"


def _packets(container: InputContainer, stream: VideoStream, tally: _Tally) -> Iterator[av.Packet]:
    """Yield the packets that can be read, stepping over places where the container is damaged."""
    packets = container.demux(stream)
    failures = 0
    while failures < _UNREADABLE_IN_A_ROW:
        try:
            packet = next(packets, None)
        except FFmpegError:
            failures += 1
            tally.skipped += 1
            packets = container.demux(stream)
            continue
        if packet is None:
            return
        failures = 0
        if packet.size:  # what is empty flushes the decoder, and that comes last
            yield packet
    tally.gave_up = True


def _decoded(container: InputContainer, stream: VideoStream, tally: _Tally) -> Iterator[av.VideoFrame]:
    """Yield the pictures of all packets that can be decoded, and keep count of what happens."""
    for packet in _packets(container, stream, tally):
        tally.cut_packet = packet.is_corrupt
        if packet.pts is not None:
            tally.end = max(tally.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        try:
            pictures = stream.decode(packet)
        except FFmpegError:
            tally.skipped += 1
            continue
        yield from pictures
    yield from _remaining(stream, tally)


def _remaining(stream: VideoStream, tally: _Tally) -> list[av.VideoFrame]:
    try:
        return stream.decode(None)
    except FFmpegError:
        tally.skipped += 1
        return []


def _ends_early(container: InputContainer, stream: VideoStream, tally: _Tally) -> bool:
    """Compare what was read with what the file's head announces."""
    # Times, not counts: counts include what an edit list hides (mp4) and frames stored as "same again" (avi).
    if stream.duration is not None and stream.time_base is not None:
        announced = float((stream.duration + (stream.start_time or 0)) * stream.time_base)
        return tally.end < announced - 0.1
    # The duration of the whole file may be that of its sound, which commonly runs on a little.
    announced = ((container.duration or 0) + (container.start_time or 0)) / av.time_base
    return tally.end < announced - 1.0


def _upright(picture: av.VideoFrame) -> Turn:
    """Return how to turn pixels as the display matrix of a picture demands: phones store them lying."""
    matrix = cast(SideDataContainer, picture.side_data).get("DISPLAYMATRIX")
    if matrix is None:
        return lambda rgb: rgb
    # x' = a x + c y and y' = b x + d y, in the byte order of the machine.
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix)[:36])
    lying = abs(b) > abs(a)
    right, down = (c, b) if lying else (a, d)

    def turn(rgb: np.ndarray) -> np.ndarray:
        stood = rgb.swapaxes(0, 1) if lying else rgb
        return stood[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]

    return turn


def _url(path: Path) -> str:
    """Return a path so that nothing in it is taken for a protocol or a pattern."""
    return f"file:{path.absolute()}"
