"""What every benchmark offers: its videos, the masks that are given, and the masks that are kept back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from selfvos.registry import Registry


class LabelledVideo(ABC):
    """A video whose objects are given in its first frame and known, to the scorer, in the others.

    Nothing is opened before it is asked for, so scoring needs no pictures and tracking no later masks.
    """

    name: str
    """Name in the benchmark's list, and of its folder in results."""

    @property
    @abstractmethod
    def frames(self) -> tuple[Path, ...]:
        """Picture of every frame, in natural order."""

    @property
    @abstractmethod
    def frame_names(self) -> tuple[str, ...]:
        """Name of every frame, without suffix, in natural order; a result's mask carries the same."""

    @property
    @abstractmethod
    def counted(self) -> tuple[str, ...]:
        """Names of the frames that the protocol scores."""

    @property
    @abstractmethod
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects to follow, ascending."""

    @property
    def first_mask(self) -> UInt8[np.ndarray, "y x"]:
        """Object ids of the first frame, 0 for background; see `truth`."""
        return self.truth(self.frame_names[0])

    @abstractmethod
    def truth(self, frame: str) -> UInt8[np.ndarray, "y x"]:
        """Read the true object ids of the frame called so, 0 for background."""


class Benchmark(ABC):
    """Videos to be tracked and the rules by which the masks are scored."""

    name: str
    """Name of the protocol, as registered."""
    subset: str
    """Name of the list of videos, such as ``val``."""
    note: str
    """What sets these scores apart from the published protocol; empty where nothing does."""
    videos: Sequence[LabelledVideo]
    """All videos, in the order of the list."""

    @abstractmethod
    def read_result(self, path: Path) -> UInt8[np.ndarray, "y x"]:
        """Read one frame's result as ids that compare with those of the truth."""


BENCHMARKS: Registry[Callable[[Path], Benchmark]] = Registry("benchmark", "selfvos.data.benchmarks")
"""By name, what makes a benchmark of its folder."""
