"""What is kept of a frame while it is tracked."""

from dataclasses import dataclass

from jaxtyping import Float, UInt8
from torch import Tensor

from selfvos.tracking.framing import Framing
from selfvos.tracking.propagator import SoftMasks
from selfvos.types import MaskContext


@dataclass(frozen=True)
class View:
    """What is kept of a frame until it is remembered."""

    key: Float[Tensor, "h w c"]
    framing: Framing
    number: int
    context: MaskContext | None = None
    """What V and D need of it; None without them."""
    picture: UInt8[Tensor, "y x 3"] | None = None
    """The frame, one pixel for each label, where labels are aligned by it."""


@dataclass(frozen=True)
class Foreseen:
    """A frame whose masks are known before its turn."""

    view: View
    masks: SoftMasks
