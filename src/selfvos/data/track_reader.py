"""A tracked video on disk, read: finished or not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from selfvos.data.mask_png import read_mask
from selfvos.data.track_record import (
    ABOUT,
    DONE,
    GIVEN,
    MASKS,
    STATES,
    default_object,
    from_line,
    is_whole,
    read_about,
)
from selfvos.errors import DataError, UsageError
from selfvos.types import FrameRecord, TrackedObject


def open_track(path: Path | str) -> "StoredTrack":
    """Open the folder of a tracked video.

    Raises:
        UsageError: There is no such folder, or it holds no track.
        DataError: It was written by a newer version, or what it says of itself is damaged.
    """
    return StoredTrack(path)


class StoredTrack:
    """What a `TrackFolder` wrote: a `TrackReader`, with the frames that there were when it was opened."""

    def __init__(self, path: Path | str) -> None:
        """Read everything but the masks; see `open_track`."""
        self.path = Path(path)
        about = read_about(self.path) if self.path.is_dir() else None
        if about is None:
            raise UsageError(f"no track in {self.path}; give the folder that 'selfvos track --out' made")
        if not is_whole(about):
            raise DataError(f"{self.path / ABOUT} is damaged; track the video again")
        self.about: dict[str, Any] = about
        """All of `track.json`."""
        self.done = (self.path / DONE).is_file()
        """Whether the track was finished; else it holds the frames until it was stopped, or until now."""
        self._frames = tuple(sorted(_frames(self.path), key=lambda frame: frame.index))

    @property
    def name(self) -> str:
        """See `TrackReader`."""
        return self.about["video"]["name"]

    @property
    def size(self) -> tuple[int, int]:
        """See `TrackReader`.

        Raises:
            DataError: No frame was tracked, and the video does not say.
        """
        height, width = self.about["video"]["height"], self.about["video"]["width"]
        if height is None:
            raise DataError(f"{self.path} holds no tracked frame; its size is not known")
        return height, width

    @property
    def fps(self) -> float:
        """See `TrackReader`."""
        return self.about["video"]["fps"]

    @property
    def objects(self) -> tuple[TrackedObject, ...]:
        """See `TrackReader`."""
        listed = [TrackedObject(o["id"], o["name"], tuple(o["colour"])) for o in self.about["objects"]]
        known = {one.id for one in listed}
        seen = {state.id for frame in self._frames for state in frame.objects} - known
        return tuple(sorted([*listed, *(default_object(id) for id in seen)], key=lambda one: one.id))

    @property
    def frames(self) -> Sequence[FrameRecord]:
        """See `TrackReader`."""
        return self._frames

    def mask(self, place: int) -> UInt8[np.ndarray, "y x"] | np.ndarray:
        """See `TrackReader`.

        Raises:
            DataError: The mask is damaged.
        """
        return read_mask(self.path / MASKS / f"{self._frames[place].name}.png")

    @property
    def given(self) -> Mapping[int, Path]:
        """The masks that a person drew, by frame index."""
        return {int(file.stem): file for file in sorted((self.path / GIVEN).glob("[0-9]*.png"))}


def _frames(path: Path) -> list[FrameRecord]:
    """Return the frames whose line and mask are both there: each gets its line first."""
    try:
        lines = (path / STATES).read_text("utf-8").split("\n")
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise DataError(f"{path / STATES} is damaged ({error}); track the video again") from error
    written = {file.stem for file in (path / MASKS).glob("*.png")} if (path / MASKS).is_dir() else set()
    frames = []
    for number, line in enumerate(lines, start=1):
        try:
            frame = from_line(line)
        except ValueError as error:
            if number == len(lines):  # what follows the last end of a line: nothing, or a line that was cut off
                break
            raise DataError(f"{path / STATES}, line {number} is damaged; track the video again") from error
        if frame.name in written:
            frames.append(frame)
    return frames
