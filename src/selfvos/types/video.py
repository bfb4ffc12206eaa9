"""Frames of a video, and what is known of them once they are tracked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8

Mask = Bool[np.ndarray, "y x"]
"""One object's pixels."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video, as decoded."""

    rgb: UInt8[np.ndarray, "y x 3"]
    index: int
    """Position in decoding order, from 0; a frame that cannot be decoded leaves a gap."""
    name: str
    """File stem for a frame folder, the zero-padded index for a video."""
    seconds: float
    """Presentation time from the start of the video."""


Frames = Iterator[Frame]


@dataclass(frozen=True)
class ObjectState:
    """How the tracker sees one object in one frame."""

    id: int
    """As drawn in the given mask."""
    confidence: float
    """Mean probability over the pixels given to the object, in [0, 1]; 0 where it has none."""
    lost: bool
    """Nothing of the object is found in this frame; its mask is empty."""


@dataclass(frozen=True)
class Tracked:
    """One frame's result."""

    frame: Frame
    mask: UInt8[np.ndarray, "y x"] | np.ndarray
    """Object ids as drawn, 0 for background; uint16 when an id is above 255."""
    objects: tuple[ObjectState, ...]


Box = tuple[int, int, int, int]
"""Left, top, right, bottom of what encloses an object, in pixels; right and bottom are the first pixels outside."""


@dataclass(frozen=True)
class TrackedObject:
    """One object of a tracked video, the same in all frames."""

    id: int
    """As in the masks, at least 1."""
    name: str
    colour: tuple[int, int, int]
    """Red, green, blue in 0..255."""


@dataclass(frozen=True)
class ObjectRecord:
    """What is kept of one object in one frame, besides its pixels."""

    id: int
    confidence: float
    """Mean probability over the pixels given to the object, in [0, 1]; 0 where it has none."""
    lost: bool
    area: int
    """Pixels of the object in the mask."""
    box: Box | None
    """None where it has no pixel."""


@dataclass(frozen=True)
class FrameRecord:
    """What is kept of one tracked frame, besides its mask."""

    index: int
    """Position in the video, from 0: a track may begin later than its video does."""
    name: str
    """Stem of the frame's mask file."""
    seconds: float
    """Presentation time from the start of the video."""
    objects: tuple[ObjectRecord, ...]


@runtime_checkable
class TrackReader(Protocol):
    """A tracked video, whoever keeps it: what formats, reports and pages read. Frames are in order of time."""

    @property
    def name(self) -> str:
        """What to call the video."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of video and masks, in pixels."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second of the video."""
        ...

    @property
    def objects(self) -> tuple[TrackedObject, ...]:
        """All objects of the video, by rising id."""
        ...

    @property
    def frames(self) -> Sequence[FrameRecord]:
        """What is known of each frame that was tracked."""
        ...

    def mask(self, place: int) -> UInt8[np.ndarray, "y x"] | np.ndarray:
        """Read object ids, 0 for background, of the frame at this place in `frames`."""
        ...
