"""The track of a project: a mask and a line for each frame, any of which may be made again."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from selfvos.data.mask_png import read_mask, write_mask
from selfvos.data.track_record import from_line, record, to_line
from selfvos.storage import write_text
from selfvos.types import FrameRecord, Tracked

_MASKS, _LINES = "masks", "track.jsonl"


@dataclass(frozen=True)
class TrackedFrame:
    """One frame of the track as it was made last."""

    record: FrameRecord
    revision: int
    """Of the drawings that it was made from."""
    step: int
    """1 where it was tracked forward, -1 backward: drawings on that side did not make it."""


class TrackStore:
    """Masks below a folder, and a log of which frame was tracked from which drawings; the last line of a frame counts.

    A mask is on disk before its line: a line without the mask that it speaks of is never there.
    """

    def __init__(self, folder: Path) -> None:
        """Read the log; a line that a crash tore is passed over."""
        self.folder = folder
        self._frames: dict[int, TrackedFrame] = {}
        self._read = 0
        self.refresh()

    @property
    def frames(self) -> Mapping[int, TrackedFrame]:
        """What was tracked, by frame index."""
        return self._frames

    def refresh(self) -> list[int]:
        """Take in what another process has tracked since; return the frames."""
        try:
            with open(self.folder / _LINES, "rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return []
        whole = new.rfind(b"\n") + 1
        self._read += whole
        read = [_from_line(line) for line in new[:whole].splitlines()]
        frames = [frame for frame in read if frame is not None]
        self._frames.update({frame.record.index: frame for frame in frames})
        return [frame.record.index for frame in frames]

    def keep(self, tracked: Tracked, *, revision: int, step: int) -> None:
        """Write one frame.

        Raises:
            OutOfSpace: The disk is full; what was there is untouched.
        """
        index = tracked.frame.index
        write_mask(self._path(index), tracked.mask)
        frame = TrackedFrame(record(tracked), revision, step)
        with open(self.folder / _LINES, "ab+") as file:
            # A writer that was killed may have left half a line, which must not swallow this one.
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            torn = file.read(1) not in (b"", b"\n")
            file.write((b"\n" if torn else b"") + _to_line(frame).encode())
        self.refresh()

    def mask(self, index: int) -> UInt8[np.ndarray, "y x"] | np.ndarray:
        """Read the mask of a tracked frame."""
        return read_mask(self._path(index))

    def keep_only(self, wanted: Sequence[int]) -> None:
        """Forget all other frames, and the earlier lines of these."""
        kept = [self._frames[index] for index in wanted]
        write_text(self.folder / _LINES, "".join(_to_line(frame) for frame in kept))
        for index in self._frames.keys() - set(wanted):
            self._path(index).unlink(missing_ok=True)
        self._frames, self._read = {}, 0
        self.refresh()

    def _path(self, index: int) -> Path:
        return self.folder / _MASKS / f"{index:06d}.png"


def _to_line(frame: TrackedFrame) -> str:
    return (
        json.dumps({"revision": frame.revision, "step": frame.step, "frame": json.loads(to_line(frame.record))}) + "\n"
    )


def _from_line(line: bytes) -> TrackedFrame | None:
    """Return what a line says; nothing where a crash tore it: its frame counts as not tracked."""
    try:
        data = json.loads(line)
        return TrackedFrame(from_line(json.dumps(data["frame"])), data["revision"], data["step"])
    except (ValueError, KeyError, TypeError):
        return None
