"""What a mask is decided from, one channel at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from selfvos.ops.label_map import Layer
from selfvos.tracking.edges import at_edges
from selfvos.tracking.propagator import SoftMasks
from selfvos.tracking.settings import ShowConfig


@dataclass(frozen=True)
class Shown:
    """What the latest mask was decided from; maps of its channels are made anew whenever they are asked for.

    All of them, as large as a picture, would take more memory than anything else that is known of an object.
    """

    soft: SoftMasks
    image: Float[Tensor, "1 3 y x"] | None
    """The padded frame, where outlines move to its edges; None where they stay."""
    config: ShowConfig

    @property
    def stride(self) -> int:
        """Pixels of the padded frame per cell of the maps."""
        return self.soft.stride if self.image is None and self.soft.pixels is None else 1

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the maps."""
        h, w = self.soft.grid
        factor = self.soft.stride // self.stride
        return h * factor, w * factor

    def layers(self) -> Iterator[Layer]:
        """Yield the map of every channel, in no set order."""
        if self.image is None:
            return (self.soft.layer(channel) for channel in range(self.soft.channels))
        # Not remembered: small mistakes along edges would add up from frame to frame.
        return at_edges(self.image, self.soft, self.config.edge_px, self.config.edge_epsilon)
