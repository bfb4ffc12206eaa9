"""Single frames of a video, as pictures to draw on."""

from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray

from selfvos.api.live_tracking import live_source
from selfvos.data.live import LiveSource
from selfvos.data.overlay import save_image
from selfvos.data.source import DEFAULT_FPS, open_source
from selfvos.data.streams import is_live
from selfvos.errors import UsageError
from selfvos.types import Watch, ignore

_SETTLE_S = 1.0
"""Seconds that a camera takes to find its exposure."""


def save_frame(
    video: str | Path | LiveSource, out: str | Path, *, frame: int = 0, fps: float = DEFAULT_FPS, watch: Watch = ignore
) -> Path:
    """Write one frame of a video as a picture, to draw a mask on; of a camera or stream, that of now.

    Args:
        video: A video file, a folder of pictures, the number of a camera or the address of a stream; or a live source.
        out: A .png or .jpg.
        frame: Which, from 0.
        fps: Frames per second of a folder of pictures.
        watch: Asked to go on while waiting for a camera.

    Raises:
        UsageError: No such video or frame, or another suffix.
        BrokenVideo: Nothing can be read.
    """
    if isinstance(video, LiveSource):
        rgb = _settled(video)
    elif is_live(video):
        with live_source(str(video), watch=watch) as source:
            rgb = _settled(source)
    else:
        rgb = _stored(video, frame, fps)
    save_image(out, rgb)
    return Path(out)


def _stored(video: str | Path, frame: int, fps: float) -> UInt8[ndarray, "y x 3"]:
    for found in open_source(video, fps=fps).frames(frame, frame + 1):
        return found.rgb
    raise UsageError(f"{video} has no frame {frame}")


def _settled(source: LiveSource) -> UInt8[ndarray, "y x 3"]:
    for found in source:
        if found.seconds >= _SETTLE_S:
            return found.rgb
    return source.newest()
