"""Videos written frame by frame, so that a half file never has the final name."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8

from selfvos.data.sound import Sound
from selfvos.data.video import DEFAULT_FPS
from selfvos.errors import DataError, UsageError
from selfvos.storage import atomic_path

SQUARE = Fraction(1)
"""Width by height of the pixels of nearly all videos."""

_LOWEST_FPS, _HIGHEST_FPS = 0.001, 1000


class VideoWriter:
    """Writes an H.264 mp4 frame by frame; the file takes its name when the `with` block ends well.

    After an exception in the block nothing is left of it, and a file that was there before is untouched. Without a
    single frame there is no file. Odd sides grow by one repeated row or column, which 4:2:0 colour needs.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        fps: float = DEFAULT_FPS,
        crf: int = 20,
        pixel_aspect: Fraction = SQUARE,
        sound: Sound | None = None,
    ) -> None:
        """Remember where and how to write.

        Args:
            path: The mp4 to write; missing folders are made.
            fps: Frames per second, 0.001 to 1000.
            crf: Constant rate factor, 1 (best) to 51 (smallest); 18 can hardly be told from the original.
            pixel_aspect: Width of a pixel by its height.
            sound: What is heard beside the frames, as long as they last; it must be one that is `carried`.

        Raises:
            UsageError: A rate or a factor out of range.
        """
        check_fps(fps)
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
        self._crf, self._pixel_aspect = crf, pixel_aspect
        self._sound = sound
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
            self.begin(rgb.shape)
        elif rgb.shape != self._shape:
            raise DataError(f"frame is {_by(rgb.shape)}, the video is {_by(self._shape)}; frames must keep one size")
        even = np.pad(rgb, [(0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)], mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, threads=1)
        shown = self.frames / self._rate if seconds is None else seconds
        self._last = max(self._last + 1, round(shown / self._clock))
        self._hear(float(self._last * self._clock))
        picture.pts, picture.time_base = self._last, self._clock
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def begin(self, shape: tuple[int, ...]) -> None:
        """Open the file for frames of a shape, and make missing folders, before the first frame does.

        Args:
            shape: Rows, columns and 3.
        """
        path = self._stack.enter_context(atomic_path(self.path))
        container = av.open(f"file:{path.absolute()}", "w", format="mp4", options={"movflags": "+faststart"})
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
        context.sample_aspect_ratio = self._pixel_aspect
        self._heard = None if self._sound is None else self._sound.add_to(self._container)
        self._stack.push(self._drain)

    def _drain(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._hear(float(self._last * self._clock + 1 / self._rate))
            self._container.mux(self._stream.encode(None))

    def _hear(self, seconds: float) -> None:
        if self._sound is None:
            return
        for packet in self._sound.until(seconds):
            packet.stream = self._heard
            self._container.mux(packet)


def check_fps(fps: float) -> None:
    """Raise `UsageError` where a rate is out of range."""
    if not _LOWEST_FPS <= fps <= _HIGHEST_FPS:
        raise UsageError(f"fps must be between {_LOWEST_FPS} and {_HIGHEST_FPS}, got {fps}")


def _encoder(crf: int) -> tuple[str, dict[str, str]]:
    if "libx264" in av.codecs_available:
        # Without B-frames decoding times are presentation times, which keeps uneven ones right.
        return "libx264", {"crf": str(crf), "preset": "veryfast", "bf": "0"}
    # MPEG-4 part 2 is built in everywhere; its quantiser runs from 2 to 31.
    quantiser = str(max(2, round(crf * 31 / 51)))
    return "mpeg4", {"qmin": quantiser, "qmax": quantiser}


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
