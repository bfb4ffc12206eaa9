"""A film with opacity, for editors: ProRes 4444."""

from fractions import Fraction
from pathlib import Path
from typing import ClassVar, cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from selfvos.data.video_writer import SQUARE
from selfvos.formats.base import FORMATS, Job, Part, each_picture
from selfvos.formats.cut_out import CutOut
from selfvos.types import TrackReader

_TEN_BITS = 1023


@FORMATS.register("prores4444")
class Matte(CutOut):
    """ProRes 4444 film of the frames with straight opacity: a cut-out, and a matte by its alpha channel."""

    name: ClassVar = "prores4444"
    holds: ClassVar[frozenset[Part]] = frozenset({"pictures", "times"})
    readers: ClassVar = "DaVinci Resolve, Premiere Pro, After Effects, Final Cut Pro, Nuke"
    suffix: ClassVar = ".mov"

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        # 1001 restores the rates of television exactly; the clock is the rate's own, so that editors see whole frames.
        rate = Fraction(track.fps).limit_denominator(1001)
        clock = Fraction(1, rate.numerator * max(1, 65535 // rate.numerator))
        start, last = track.frames[0].seconds, -1
        with av.open(f"file:{out.absolute()}", "w", format="mov") as container:
            stream = _stream(container, track.size, rate, clock)
            stream.codec_context.sample_aspect_ratio = SQUARE if job.video is None else job.video.pixel_aspect
            for frame, place in each_picture(track, job):
                picture = _picture(frame.rgb, self.opacity(track, place, frame.rgb))
                last = max(last + 1, round((frame.seconds - start) / clock))
                picture.pts, picture.time_base = last, clock
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))


def _stream(container: OutputContainer, size: tuple[int, int], rate: Fraction, clock: Fraction) -> VideoStream:
    options = {"profile": "4444", "vendor": "apl0", "alpha_bits": "16"}
    stream = cast(VideoStream, container.add_stream("prores_ks", rate=rate, options=options))
    stream.height, stream.width = size
    stream.pix_fmt = "yuva444p10le"
    context = stream.codec_context
    context.time_base = clock
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = 1  # 64 ... 940 of 1023
    return stream


def _picture(rgb: np.ndarray, alpha: np.ndarray) -> av.VideoFrame:
    """Return a frame in the encoder's own format.

    The colours are converted by FFmpeg; the opacity is put in by hand, because the conversion of four channels at once
    rounds it, and a matte has to be exact.
    """
    plain = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    coloured = plain.reformat(format="yuva444p10le", dst_colorspace=Colorspace.ITU709, threads=1)
    plane = coloured.planes[3]
    samples = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)
    samples[:, : rgb.shape[1]] = np.rint(alpha * (_TEN_BITS / 255))
    return coloured
