"""What every pair of a frame-mask encoder V and a decoder D offers."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.models.backbones.base import Backbone
from selfvos.registry import Registry
from selfvos.types import FrameFeatures, MaskContext


class MaskPath(nn.Module, ABC):
    """Embeds masks and decodes them again; made for one backbone."""

    value_channels: int
    """Channels of a mask embedding."""
    system: ClassVar[str] = "memory"
    """Name of the tracking system that it is made for; only objectives of that system train it."""
    strides: ClassVar[tuple[int, ...]] = (4, 8)
    """Pixels per feature cell of the backbones that it goes with."""
    corrects: ClassVar[bool] = False
    """Whether what it decodes is added to the log-probabilities of the coarse masks, not put in their place."""

    @abstractmethod
    def prepare(self, frames: Float[Tensor, "b 3 y x"], features: FrameFeatures) -> MaskContext:
        """Compute what all objects and refinement rounds of a frame share; frames as the backbone prepared them."""

    @abstractmethod
    def encode(self, context: MaskContext, masks: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o v h w"]:
        """Embed each object's mask in [0, 1] together with its frame."""

    @abstractmethod
    def decode(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Turn memory's read-out and the embedded coarse mask of each object into logits at the frame's size."""

    def start_from(self, backbone: Backbone) -> None:
        """Take over what the trained visual backbone can give; called once, when the mask path starts to learn."""


MASK_PATHS: Registry[type[MaskPath]] = Registry("mask path", "selfvos.models.mask_paths")


def fold_objects(x: Tensor) -> Tensor:
    """Join batch and objects: b o ... -> b*o ..."""
    return x.flatten(0, 1)


def repeat_objects(x: Float[Tensor, "b c h w"], objects: int) -> Float[Tensor, "bo c h w"]:
    """Give every object its own view of a frame's feature."""
    # A single frame is not copied.
    return x.expand(objects, -1, -1, -1) if len(x) == 1 else x.repeat_interleave(objects, dim=0)


def unfold_objects(
    logits: Float[Tensor, "bo 1 h w"], batch: int, frame: Float[Tensor, "b _ y x"]
) -> Float[Tensor, "b o y x"]:
    """Bring every object's logits to the frame's size and set objects beside their frames again."""
    logits = F.interpolate(logits, size=frame.shape[-2:], mode="bilinear", align_corners=False)
    return logits[:, 0].unflatten(0, (batch, -1))
