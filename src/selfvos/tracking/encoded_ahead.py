"""The next frame, encoded by a thread of its own while this one is tracked."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from selfvos.data.ahead import ahead
from selfvos.ops.threads import computing, kernel_threads
from selfvos.tracking.encoding import EncodedFrame, Rgb
from selfvos.tracking.object_table import ObjectTable
from selfvos.types import Frame

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoder:
    """Encodes frames of a video from another thread than the one that tracks it."""

    begun: Callable[[], ObjectTable | None]
    """Returns the objects of the video that has begun; None before."""
    prepare: Callable[[Rgb, ObjectTable], EncodedFrame]
    """Returns a frame of that video with what is made of it whatever its masks are."""


@dataclass(frozen=True)
class _Made:
    rgb: Rgb
    table: ObjectTable
    encoded: EncodedFrame


class EncodedAhead:
    """Encodes each frame of a walk while the one before it is tracked: one frame ahead, never more.

    Encoding on one core and matching on the other takes less time than both on both: no thread waits for another's
    share of each operation. Either side has half of the threads; the kernels of tracking have all while nothing is
    being encoded.
    """

    def __init__(self) -> None:
        """Make it, with nothing encoded."""
        self._made: deque[_Made] = deque()
        self._encoding = False

    def walk(self, frames: Iterable[Frame], encoder: Encoder) -> Iterator[Frame]:
        """Yield frames in their order, encoded where there are threads for it.

        Args:
            frames: Read from another thread, once the video has begun.
            encoder: Where it fails the frame comes as it is, and whoever tracks it meets the error there.
        """
        waiting = iter(frames)
        for frame in waiting:
            yield frame
            if encoder.begun() is not None:
                break
        threads = kernel_threads()
        if threads == 1:
            yield from waiting
            return
        # Of its own: what a thread that was left in the middle of a frame still brings reaches nobody.
        made = self._made = deque[_Made]()

        def encoded(frame: Frame) -> Frame:
            self._encoding = True
            try:
                with computing(threads // 2):
                    made.extend(_encoded(frame, encoder))
            finally:
                self._encoding = False
            return frame

        try:
            yield from ahead(map(encoded, waiting), 1)
        finally:
            made.clear()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Compute in the block with what encoding leaves."""
        threads = kernel_threads()
        left = max(1, threads - threads // 2)
        with computing(left, kernels=lambda: left if self._encoding else threads):
            yield

    def take(self, frame: Rgb, table: ObjectTable) -> EncodedFrame | None:
        """Return what was made of a frame, if that was for this video, and forget it; None where nothing was."""
        while self._made:
            made = self._made.popleft()
            if made.rgb is frame and made.table is table:
                return made.encoded
        return None


@torch.inference_mode()
def _encoded(frame: Frame, encoder: Encoder) -> Iterable[_Made]:
    table = encoder.begun()
    if table is None:
        return ()
    try:
        return (_Made(frame.rgb, table, encoder.prepare(frame.rgb, table)),)
    except Exception:
        logger.info("frame %s could not be encoded ahead of its turn", frame.name, exc_info=True)
        return ()
