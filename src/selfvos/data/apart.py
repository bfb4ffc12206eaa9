"""Videos of strangers, decoded by a process of their own that may not take more than it is given.

What reads a hostile file, and may be made to do anything by it, is a process without a way to write a file, with
little memory and little time. It hands over pixels and plain text alone.
"""

import logging
import os
import tempfile
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from selfvos import errors
from selfvos.data.apart_process import AVAILABLE, Gone, Limits, ReaderProcess
from selfvos.data.files import is_folder, named
from selfvos.data.kinds import list_pictures
from selfvos.data.pictures import MOST_PIXELS
from selfvos.data.source import DEFAULT_FPS, Source, open_source
from selfvos.data.spans import check_span
from selfvos.errors import BrokenVideo, SelfvosError
from selfvos.types import Frame

# This is the door for whoever reads files that are not trusted.
__all__ = ["ApartVideo", "Limits", "frames_apart", "open_apart"]

logger = logging.getLogger(__name__)

_MOST_IDLE = 1
_LONGEST_TEXT = 1000
_MOST_SOUND = 2**30


def open_apart(path: Path | str, *, fps: float = DEFAULT_FPS, limits: Limits | None = None) -> Source:
    """Open a file or folder that is not trusted: as `open_source`, but a process of its own reads and decodes it.

    On Windows, where no process can be confined so, this process reads it, and a warning is logged.

    Args:
        path: A video file, a folder of pictures, or a file of several pictures.
        fps: Frame rate of pictures.
        limits: What decoding may take.

    Raises:
        UsageError: As `open_source`.
        DataError: It cannot be read, or not within the limits.
        ResourceError: No process can be started.
    """
    if not AVAILABLE:
        logger.warning("%s is read by this process itself: none can be confined on this system", named(path))
        return open_source(path, fps=fps)
    return ApartVideo(path, fps=fps, limits=limits or Limits())


def frames_apart(path: Path | str, limits: Limits | None = None) -> Iterator[Frame]:
    """Yield the frames of a video that is not trusted.

    Args:
        path: A video file or a folder of pictures.
        limits: What decoding may take.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read, or not within the limits; what was yielded before is good.
    """
    yield from open_apart(path, limits=limits)


class ApartVideo:
    """A video as a `Source` whose frames come from a process of their own; one more for each reading beside another."""

    def __init__(self, path: Path | str, *, fps: float, limits: Limits) -> None:
        """Have a process look at the file; see `open_apart`."""
        self.path, self._limits, self._given_fps = Path(path), limits, fps
        self._start = os.getcwd()
        self._name = named(path)
        self._idle: list[ReaderProcess] = []
        self._sound: Path | None = None
        self.partial = False
        """Whether the last reading found the file broken off before its end."""
        reader, facts = self._opened()
        try:
            height, width = (int(one) for one in facts["size"])
            self.size: tuple[int, int] | None = (height, width)
            self.name, self.fps = _file_name(facts["name"]), float(facts["fps"])
            self.count = None if facts["count"] is None else int(facts["count"])
            self.pixel_aspect = Fraction(str(facts["pixel_aspect"]))
            self.sound = self.path if facts["sound"] else None
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise self._too_much() from error
        self.files = list_pictures(self.path) if is_folder(self.path) else None
        """The pictures of a folder, in order; None for a file."""
        self._keep(reader)

    def exact_count(self) -> int | None:
        """See `Source`."""
        reader, head = self._asked("count")
        self._keep(reader)
        return None if head.get("count") is None else int(head["count"])

    def __iter__(self) -> Iterator[Frame]:
        """See `Source`."""
        return self.frames()

    def frames(self, start: int | None = None, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """See `Source`.

        Raises:
            UsageError: There is no such frame.
            DataError: A frame cannot be read, or not within the limits.
        """
        check_span(start, stop, step)
        reader, _ = self._asked("frames", start=start, stop=stop, step=step)
        return self._frames(reader)

    def copied_sound(self) -> Path | None:
        """Return a file with the sound alone, copied by the process that reads the video; None where there is none."""
        if self._sound is None and self.sound is not None:
            reader, head = self._asked("sound")
            try:
                count = int(head["bytes"])
                if not 0 < count <= _MOST_SOUND:
                    return None
                content = reader.bytes(count)
            except (Gone, KeyError, TypeError, ValueError) as error:
                raise self._too_much() from error
            self._keep(reader)
            # A name that ends with this object: no result, and nothing that must be whole after a kill.
            file = tempfile.NamedTemporaryFile(prefix="selfvos-sound-", suffix=".nut")  # noqa: SIM115
            file.write(content.data)
            file.flush()
            weakref.finalize(self, file.close)
            self._sound = Path(file.name)
        return self._sound

    def _frames(self, reader: ReaderProcess) -> Iterator[Frame]:
        count = 0
        while True:
            head = self._ask(reader, "next")
            if "frame" not in head:
                break
            count += 1
            if count > self._limits.frames:
                raise BrokenVideo(f"{self._name} has more than {self._limits.frames} frames; cut it")
            try:
                frame = _frame(reader, head["frame"])
            except (Gone, KeyError, TypeError, ValueError) as error:
                raise self._too_much() from error
            try:
                yield frame
            except GeneratorExit:
                self._leave(reader)
                raise
        self.partial = bool(head.get("partial"))
        self._keep(reader)

    def _leave(self, reader: ReaderProcess) -> None:
        try:
            reader.tell("leave")
        except Gone:
            return
        self._keep(reader)

    def _opened(self) -> tuple[ReaderProcess, dict[str, Any]]:
        reader = ReaderProcess(self._limits)
        return reader, self._ask(reader, "open", path=str(self.path), start=self._start, fps=self._given_fps)

    def _asked(self, do: str, **order: Any) -> tuple[ReaderProcess, dict[str, Any]]:
        """Ask a reader that has nothing to do; a new one, where there is none or it has ended meanwhile."""
        while True:
            try:
                reader = self._idle.pop()
                return reader, self._checked(reader, reader.ask(do, **order))
            except IndexError:
                reader, _ = self._opened()
                return reader, self._ask(reader, do, **order)
            except Gone:
                continue

    def _ask(self, reader: ReaderProcess, do: str, **order: Any) -> dict[str, Any]:
        try:
            return self._checked(reader, reader.ask(do, **order))
        except Gone as error:
            raise self._too_much() from error

    def _checked(self, reader: ReaderProcess, head: dict[str, Any]) -> dict[str, Any]:
        """Pass on what a reader warns of; one that can do no more is ended."""
        for text in head.get("warnings", [])[:8]:
            logger.warning("%s", _plain(text))
        if "error" in head:
            reader.end()
            raise self._told(str(head["error"]), _plain(head.get("message")))
        return head

    def _keep(self, reader: ReaderProcess) -> None:
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(reader)
        else:
            reader.end()

    def _told(self, kind: str, message: str) -> SelfvosError:
        if kind == "MemoryError":
            return self._too_much()
        found = getattr(errors, kind, None)
        if isinstance(found, type) and issubclass(found, SelfvosError):
            return found(message)
        return BrokenVideo(f"{self._name}: {message}")

    def _too_much(self) -> BrokenVideo:
        limits = self._limits
        return BrokenVideo(
            f"{self._name} cannot be decoded within {limits.memory_bytes >> 20} MiB and {limits.cpu_seconds} s; "
            "convert it to a smaller one"
        )


def _frame(reader: ReaderProcess, head: dict[str, Any]) -> Frame:
    height, width = int(head["height"]), int(head["width"])
    if not (0 < height <= MOST_PIXELS and 0 < width <= MOST_PIXELS and height * width <= MOST_PIXELS):
        raise ValueError
    rgb = reader.bytes(height * width * 3).reshape(height, width, 3)
    return Frame(rgb=rgb, index=int(head["index"]), name=_file_name(head["name"]), seconds=float(head["seconds"]))


def _plain(text: Any) -> str:
    """Return what a reader says as one line without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:_LONGEST_TEXT])


def _file_name(text: Any) -> str:
    """Return what a reader calls a video or a frame: files are named by it, here and nowhere else."""
    name = str(text)
    if name in ("", ".", "..") or any(letter in name for letter in "/\\\0"):
        raise ValueError
    return name
