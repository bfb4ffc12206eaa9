"""One object's own network: the stages of a backbone, each seen from the side, fused into one map."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.models.backbones.base import Backbone

_SIDE = 16


class SideNetwork(nn.Module):
    """Tells one object from everything else in a frame, without knowing any other frame.

    Source:
        OSVOS (Caelles et al. 2017, public code): 16-channel convolutions from the stages, upsampled and fused by a
        1x1 convolution. Departures: any backbone in place of VGG-16, hence stages from stride 4 on; sides are
        brought to the size of the shallowest, fused there, and the one map is brought to the frame's size.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Copy a backbone, and give it random sides."""
        super().__init__()
        self.backbone = copy.deepcopy(backbone).requires_grad_(True)
        self.sides = nn.ModuleDict(
            {name: nn.Conv2d(channels, _SIDE, 3, padding=1) for name, channels in backbone.channels.items()}
        )
        self.fuse = nn.Conv2d(_SIDE * len(self.sides), 1, 1)

    def forward(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 1 y x"]:
        """Return the object's logits for RGB frames in [0, 1]."""
        stages = self.backbone(self.backbone.prepare(frames))
        seen = [side(stages[name]) for name, side in self.sides.items()]
        size = max(tuple(x.shape[-2:]) for x in seen)
        fused = self.fuse(torch.cat([_resize(x, size) for x in seen], dim=1))
        return _resize(fused, (frames.shape[-2], frames.shape[-1]))

    def heads(self) -> list[nn.Parameter]:
        """Return what starts at random: the sides and their fusion."""
        return [*self.sides.parameters(), *self.fuse.parameters()]


def _resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
