"""Frames as small pictures for the page: the latest are kept, and the next ones are never sought anew."""

import io
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
from PIL import Image

from selfvos.api import Project
from selfvos.errors import DataError
from selfvos.types import Frame

_KEPT_BYTES = 32 * 2**20
_NEAR = 32
"""Frames that are rather read through than jumped over."""
_WIDTHS = (160, 480, 960, 1920, 3840)


class FrameShelf:
    """JPEGs of a project's video."""

    def __init__(self, project: Project) -> None:
        """Remember the project; the video is opened with the first frame that is asked for."""
        self._project = project
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._coming: Iterator[Frame] = iter(())
        self._next = -1
        self._latest: Frame | None = None

    def jpeg(self, index: int, width: int) -> bytes:
        """Return a frame, no wider than the least of a few widths that is not below `width`.

        Raises:
            DataError: The video breaks off before.
        """
        width = next((one for one in _WIDTHS if one >= width), _WIDTHS[-1])
        key = index, width
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        picture = Image.fromarray(self.frame(index).rgb)
        picture.thumbnail((width, 1 << 15), Image.Resampling.BILINEAR, reducing_gap=2.0)
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG", quality=60 if width == _WIDTHS[0] else 88)
        self._keep(key, buffer.getvalue())
        return buffer.getvalue()

    def frame(self, index: int) -> Frame:
        """Return a frame of the video at full size."""
        if self._latest is not None and self._latest.index == index:
            return self._latest
        if not self._next <= index < self._next + _NEAR or self._next < 0:
            self._coming, self._next = self._project.source.frames(index), index
        self._next = -1  # where reading ends in an error, it is begun anew next time
        for frame in self._coming:
            if frame.index == index:
                self._next, self._latest = index + 1, frame
                return frame
        raise DataError(f"the video breaks off before frame {index}")

    def _keep(self, key: tuple[int, int], jpeg: bytes) -> None:
        self._kept[key] = jpeg
        self._bytes += len(jpeg)
        while self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._kept.popitem(last=False)[1])


def spans(indices: np.ndarray | list[int] | tuple[int, ...]) -> list[tuple[int, int]]:
    """Return rising numbers as runs: first and last of each."""
    numbers = np.asarray(indices, np.int64)
    if not numbers.size:
        return []
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    return [(int(run[0]), int(run[-1])) for run in np.split(numbers, cuts)]
