"""Where the masks of a phase come from: what the loader of clips asks, whoever made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, UInt8

from selfvos.data.clips import ClipPlan, FrameRange

Maps = UInt8[np.ndarray, "t h w"] | Int32[np.ndarray, "t h w"]
"""Cluster or object of each cell or pixel, from 0; negative where nothing can be an object."""


@runtime_checkable
class MaskStore(Protocol):
    """The masks that clips are learned with, and the parts of the videos that have some."""

    @property
    def frame_ranges(self) -> Sequence[FrameRange]:
        """Where clips may come from."""
        ...

    def for_clip(self, plan: ClipPlan) -> Maps | None:
        """Return the maps of one planned clip's frames; None where it is learned without."""
        ...


@dataclass(frozen=True)
class NoMasks:
    """Clips of anywhere, without masks."""

    frame_ranges: tuple[FrameRange, ...]

    def for_clip(self, plan: ClipPlan) -> None:
        """Return that there are none."""
