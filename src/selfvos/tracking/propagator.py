"""What a method of tracking is: encoded frames and given masks in, soft masks out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from selfvos.models.segmenter import Segmenter
from selfvos.ops import masks as mask_ops
from selfvos.ops.label_map import LabelMap, Layer
from selfvos.registry import Registry
from selfvos.tracking.encoding import EncodedFrame, FrameEncoding
from selfvos.tracking.settings import TrackConfig
from selfvos.types import Watch

MEMORY = "memory"
"""Name of selfvos' own system."""
PRESENT = 0.5
"""Probability above which an object is in a cell for certain."""


@runtime_checkable
class SoftMasks(Protocol):
    """Masks of one frame as probabilities, background first."""

    @property
    def stride(self) -> int:
        """Pixels of the padded frame per cell."""
        ...

    @property
    def channels(self) -> int:
        """How many there are, with the background."""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        ...

    @property
    def cells(self) -> Float[Tensor, "1 o1 h w"]:
        """All of them, in cells, or in parts of cells."""
        ...

    @property
    def pixels(self) -> Float[Tensor, "1 o1 y x"] | None:
        """In pixels of the padded frame; None where the cells are all there is."""
        ...

    def in_pixels(self) -> Float[Tensor, "1 o1 y x"]:
        """Return all of them in pixels of the padded frame."""
        ...

    def layer(self, channel: int) -> Layer:
        """Return one of them on the finest grid there is."""
        ...

    def layer_in_pixels(self, channel: int, margin_px: int = 0) -> Layer:
        """Return one of them in pixels of the padded frame, with so many around whatever it shows."""
        ...

    def present(self) -> list[int]:
        """Return how many cells each object has for certain."""
        ...


@dataclass(frozen=True)
class DenseMasks:
    """Soft masks as whole maps."""

    cells: Float[Tensor, "1 o1 h w"]
    stride: int
    pixels: Float[Tensor, "1 o1 y x"] | None = None

    @property
    def channels(self) -> int:
        """See `SoftMasks.channels`."""
        return self.cells.shape[1]

    @property
    def grid(self) -> tuple[int, int]:
        """See `SoftMasks.grid`."""
        return self.cells.shape[2], self.cells.shape[3]

    def in_pixels(self) -> Float[Tensor, "1 o1 y x"]:
        """See `SoftMasks.in_pixels`."""
        return mask_ops.to_pixels(self.cells, self.stride) if self.pixels is None else self.pixels

    def layer(self, channel: int) -> Layer:
        """See `SoftMasks.layer`."""
        return Layer(channel, (self.cells if self.pixels is None else self.pixels)[0, channel])

    def layer_in_pixels(self, channel: int, margin_px: int = 0) -> Layer:  # noqa: ARG002
        """See `SoftMasks.layer_in_pixels`."""
        if self.pixels is not None:
            return self.layer(channel)
        return Layer(channel, mask_ops.to_pixels(self.cells[:, channel : channel + 1], self.stride)[0, 0])

    def present(self) -> list[int]:
        """See `SoftMasks.present`."""
        # Faint traces of an object elsewhere, such as on one that looks like it, say nothing of its size.
        return (self.cells[0, 1:] > PRESENT).sum(dim=(1, 2)).tolist()


@dataclass(frozen=True)
class GivenMasks:
    """Masks of a frame that are right."""

    pixels: Float[Tensor, "1 o1 y x"]
    """In pixels of the padded frame, background first."""
    cells: Float[Tensor, "1 o1 h w"] | None
    """Labels of cells, each taken from a single place; None where cells get the mean of their pixels."""
    drawn: list[int]
    """Places among all objects of those that were drawn; some may be new."""
    complete: bool = True
    """Whether what shows no object is background: not so where objects are tracked that had no name yet."""


@runtime_checkable
class Propagator(Protocol):
    """Follows masks from frame to frame; knows nothing of ids, native sizes and what is shown."""

    @property
    def label_stride(self) -> int:
        """Pixels of the padded frame per label."""
        ...

    @property
    def supervision(self) -> str:
        """What sets its results apart wherever they are shown: that it is supervised; empty where nothing does."""
        ...

    @property
    def precision(self) -> str:
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""
        ...

    def start(self, frame: EncodedFrame) -> None:
        """Begin a video: forget everything; this is the latest frame."""
        ...

    def follow(self, frame: EncodedFrame) -> SoftMasks:
        """Follow all objects into the next frame, which becomes the latest one."""
        ...

    def learn(self, given: GivenMasks) -> SoftMasks:
        """Take the latest frame's masks as given."""
        ...

    def decided(self, found: LabelMap) -> None:
        """Hear what each pixel of the latest frame was given to."""
        ...

    def forget_recent(self) -> None:
        """Drop what is remembered of frames whose masks nobody gave."""
        ...

    def remember(self, frame: EncodedFrame, given: GivenMasks) -> None:
        """Remember a frame for ever that is not one of the walk."""
        ...

    def snapshot(self) -> Any:
        """Return all that it knows of the video; what is returned never changes."""
        ...

    def restore(self, state: Any) -> None:
        """Know what it knew when a snapshot was made, and nothing else."""
        ...


@runtime_checkable
class PreparesFrames(Protocol):
    """A propagator that can make of a frame, before its turn, what masks have no part in."""

    def prepare(self, frame: EncodedFrame) -> None:
        """Leave with a frame of the video that has begun what `follow` will want of it.

        It is called from another thread while `follow` is at the frame before, and so changes nothing but the frame.
        """
        ...


@runtime_checkable
class Foresees(Protocol):
    """A propagator that can let frames that come later have a say."""

    @property
    def is_watched(self) -> bool:
        """Whether somebody watches where labels come from, frame by frame."""
        ...

    def survey(self, later: Iterable[EncodedFrame]) -> None:
        """Learn from frames of the video how its frames are compared; only before the first one is followed."""
        ...

    def foresee(self, frames: Iterable[EncodedFrame], count: int, watch: Watch) -> list[Any]:
        """Follow all objects through the next frames, and back; know afterwards what it knew before.

        Args:
            frames: The next ones.
            count: How many there are.
            watch: Told how far it is, and asked whether to stop.

        Returns:
            What each frame has to have as `EncodedFrame.prepared` when `follow` gets it, for its masks to be these.
        """
        ...


@runtime_checkable
class MakePropagator(Protocol):
    """Makes the propagator of one system."""

    def __call__(self, encoding: FrameEncoding, config: TrackConfig) -> Propagator:
        """Make it for frames that are seen in this way."""
        ...


SYSTEMS: Registry[MakePropagator] = Registry("tracking system", "selfvos.tracking")


def system_name(model: Segmenter, config: TrackConfig) -> str:
    """Return the system that is meant: the one named, or that of the weights' mask path where it is used."""
    if config.system.name != "auto":
        return config.system.name
    return model.mask_path.system if config.refine.rounds and model.mask_path else MEMORY
