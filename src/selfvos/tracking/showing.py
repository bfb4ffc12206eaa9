"""What a mask is decided from, one channel at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from selfvos.ops.guided_filter import Guide
from selfvos.ops.label_map import Layer
from selfvos.ops.levels import HALF, level, lines, raised
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
    line_levels: Sequence[float] = ()
    """What lines of each object have to reach; empty where that is nothing special."""
    given: bool = False
    """Whether the mask was given: it is shown as it is."""
    guide: Guide | None = None
    """Of the frame, where that was made before."""

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
            found = (self.soft.layer(channel) for channel in range(self.soft.channels))
        else:
            # Not remembered: small mistakes along edges would add up from frame to frame.
            edges = self.config.edge_px, self.config.edge_epsilon
            found = at_edges(self.image, self.soft, *edges, guide=self.guide)
        return found if self.given else map(self._raised, found)

    def _raised(self, layer: Layer) -> Layer:
        """Return a map of an object that is above that of the background where it reaches what it has to."""
        sure, values = self.config.sure, layer.values
        along = self.line_levels[layer.channel - 1] if layer.channel and self.line_levels else HALF
        usual = HALF if sure is None or not layer.channel else level(values, sure)
        if along < min(usual, HALF):
            thin = lines(values, 2 * round((self.config.lines_px / self.stride - 1) / 2) + 1)
            return layer._replace(values=raised(values, usual, thin, along))
        return layer if usual == HALF else layer._replace(values=raised(values, usual))
