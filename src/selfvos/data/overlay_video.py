"""The video that a person watches: frames of the input with their masks drawn over them."""

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Integer

from selfvos.data.apart import ApartVideo
from selfvos.data.overlay import overlay
from selfvos.data.sound import Sound
from selfvos.data.source import Source
from selfvos.data.video import DEFAULT_FPS
from selfvos.data.video_writer import SQUARE, VideoWriter, check_fps
from selfvos.types import Frame

logger = logging.getLogger(__name__)

_WAITING = 2


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What an overlay has in common with the video that it is of."""

    fps: float = DEFAULT_FPS
    """Frames per second; times of the single frames are kept as well."""
    pixel_aspect: Fraction = SQUARE
    """Width of a pixel by its height."""
    sound: Path | None = None
    """The video file whose sound is heard beside the frames."""


def looks_of(source: Source) -> Looks:
    """Return what an overlay of a source's frames takes from it."""
    sound = source.copied_sound() if isinstance(source, ApartVideo) else source.sound
    return Looks(fps=source.fps, pixel_aspect=source.pixel_aspect, sound=sound)


class OverlayVideo:
    """Draws masks over frames and encodes them in a thread, at most two frames behind.

    The file takes its name when the `with` block ends, however it ends: what was drawn until then is a whole video,
    whose first frame is at 0 seconds. What goes wrong is raised by a later `write` or at the end.
    """

    def __init__(self, path: Path | str, looks: Looks | None = None) -> None:
        """Remember what to write.

        Args:
            path: The mp4.
            looks: Rate, shape of pixels and sound.

        Raises:
            UsageError: The rate is not between 0.001 and 1000.
        """
        self._path, self._looks = Path(path), looks or Looks()
        check_fps(self._looks.fps)
        self._video: VideoWriter | None = None
        self._begin_s = 0.0
        self._drawing = ThreadPoolExecutor(1, thread_name_prefix="selfvos-overlay")
        self._drawn: deque[Future[None]] = deque()
        self._stack = ExitStack()
        self.sound = "none"
        """What became of the sound: none, copied, or left out and why."""

    def __enter__(self) -> "OverlayVideo":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(0)
        except Exception:
            # The exception that is on its way already is the one to hear of.
            if error is None:
                raise
        finally:
            self._drawing.shutdown()
            self._stack.__exit__(None, None, None)

    def write(self, frame: Frame, mask: Integer[np.ndarray, "y x"]) -> None:
        """Add a frame; frames come in order of time.

        Raises:
            OutOfSpace: The disk is full.
            DataError: The frame has another size than the first.
        """
        if self._video is None:
            self._video = self._begin(frame)
        self._drawn.append(self._drawing.submit(self._draw, self._video, frame, mask))
        self._wait(_WAITING)

    def _begin(self, frame: Frame) -> VideoWriter:
        self._begin_s = frame.seconds
        sound = None
        if self._looks.sound is not None:
            heard = self._stack.enter_context(Sound(self._looks.sound, begin_s=frame.seconds))
            sound = heard if heard.carried else None
            self._tell_of(heard)
        looks = self._looks
        video = VideoWriter(self._path, fps=looks.fps, pixel_aspect=looks.pixel_aspect, sound=sound)
        self._stack.enter_context(video)
        # Now, not in the thread: a folder that is removed in between would come back.
        video.begin(frame.rgb.shape)
        return video

    def _tell_of(self, heard: Sound) -> None:
        if heard.carried:
            self.sound = "copied"
        elif heard.codec:
            self.sound = f"left out: an mp4 takes no {heard.codec}"
            logger.warning("%s: the overlay has no sound, for an mp4 takes no %s", self._looks.sound, heard.codec)

    def _draw(self, video: VideoWriter, frame: Frame, mask: np.ndarray) -> None:
        video.write(overlay(frame.rgb, mask), frame.seconds - self._begin_s)

    def _wait(self, behind: int) -> None:
        while len(self._drawn) > behind:
            self._drawn.popleft().result()
