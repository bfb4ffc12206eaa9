"""What a visual backbone promises."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from selfvos.registry import Registry


class Backbone(nn.Module, ABC):
    """Turns normalised frames into the outputs of its stages, shallow to deep."""

    channels: dict[str, int]
    """Channels of each stage's output."""
    strides: dict[str, int]
    """Pixels per cell of each stage's output."""
    last: str
    """Name of the deepest stage."""
    learns: ClassVar[bool] = True
    """Whether there is anything to train."""

    @abstractmethod
    def forward(self, frames: Float[Tensor, "b 3 y x"]) -> dict[str, Tensor]:
        """Encode frames that `prepare` has seen; sides must be multiples of the deepest stride."""

    @abstractmethod
    def prepare(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Bring RGB in [0, 1] into the form that this backbone was made for."""

    def leave_out_all_but(self, stages: Collection[str]) -> None:  # noqa: ARG002
        """Forget what gives none of these stages, if that can be; what key, V and D need stays in any case."""
        return


class BackboneFactory(ABC):
    """Makes a backbone of one family at a wanted stride and depth."""

    @abstractmethod
    def __call__(self, *, stride: int, last_stage: int) -> Backbone:
        """Make the network with random weights.

        Raises:
            UsageError: The family has no such stride or stage.
        """


BACKBONES: Registry[BackboneFactory] = Registry("backbone", "selfvos.models.backbones")
