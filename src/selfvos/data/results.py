"""What a track leaves on disk, written while it runs."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from selfvos.data.mask_png import write_mask
from selfvos.data.overlay import overlay
from selfvos.data.video import DEFAULT_FPS
from selfvos.data.video_writer import VideoWriter
from selfvos.types import Tracked

_WAITING = 2


class ResultFolder:
    """Writes masks as PNGs named like their frames, and an overlay video, one frame at a time.

    Nothing is lost when the `with` block is left early, by Ctrl-C or an error: each PNG is whole as soon as it has
    its name, and the overlay of the frames so far is finished before the exception goes on its way. The overlay is
    drawn in a thread, at most two frames behind; what goes wrong there is raised by a later `write` or at the end.
    """

    def __init__(
        self, masks: Path | str | None, *, overlay_video: Path | str | None = None, fps: float = DEFAULT_FPS
    ) -> None:
        """Remember where to write.

        Args:
            masks: Folder for the PNGs; None for none.
            overlay_video: The mp4 to write; None for none.
            fps: Frame rate of the input, in frames per second; times of the single frames are kept as well.

        Raises:
            UsageError: An overlay is asked for and `fps` is not between 0.001 and 1000.
        """
        self.masks = None if masks is None else Path(masks)
        self.written = 0
        """Frames written so far."""
        self._video = None if overlay_video is None else VideoWriter(overlay_video, fps=fps)
        self._drawing = ThreadPoolExecutor(1, thread_name_prefix="selfvos-overlay")
        self._drawn: deque[Future[None]] = deque()

    def __enter__(self) -> "ResultFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._video is None:
            return
        try:
            self._wait_for_overlay(0)
        except Exception:
            # The exception that is on its way already is the one to hear of.
            if error is None:
                raise
        finally:
            self._drawing.shutdown()
            self._video.__exit__(None, None, None)

    def write(self, tracked: Tracked) -> None:
        """Write one frame's mask, and add it to the overlay.

        Raises:
            OutOfSpace: The disk is full; what was written before is whole.
            DataError: The frame has another size than the first.
        """
        if self.masks is not None:
            write_mask(self.masks / f"{tracked.frame.name}.png", tracked.mask)
        if self._video is not None:
            self._drawn.append(self._drawing.submit(_draw, self._video, tracked))
            self._wait_for_overlay(_WAITING)
        self.written += 1

    def _wait_for_overlay(self, behind: int) -> None:
        while len(self._drawn) > behind:
            self._drawn.popleft().result()


def _draw(video: VideoWriter, tracked: Tracked) -> None:
    video.write(overlay(tracked.frame.rgb, tracked.mask), tracked.frame.seconds)
