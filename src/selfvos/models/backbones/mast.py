"""The ResNet-18 of the methods that rebuild colours: MAST, CorrFlow, LIIR."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES, Backbone, BackboneFactory
from selfvos.models.backbones.resnet import BasicBlock
from selfvos.ops.colour import rgb_to_lab

_WIDTHS = (64, 128, 256, 256)
_EMBEDDING = 64
_LEARNED_CELLS = 128
"""Side of the position embedding that LIIR learned, at stride 2."""


class MASTNet(Backbone):
    """Stride 4 without pooling, four stages of two blocks, and a convolution to 64 channels: the stage ``embedding``.

    Source:
        Lai et al. 2020 (MAST), public code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.channels, self.strides, inputs = {}, {}, 64
        for number, width in enumerate(_WIDTHS, start=1):
            first = BasicBlock(inputs, width, 2 if number == 2 else 1)
            self.add_module(f"layer{number}", nn.Sequential(first, BasicBlock(width, width, 1)))
            self.channels[f"layer{number}"], self.strides[f"layer{number}"] = width, 2 if number == 1 else 4
            inputs = width
        self.embedding = nn.Conv2d(inputs, _EMBEDDING, 3, padding=1)
        self.channels["embedding"], self.strides["embedding"], self.last = _EMBEDDING, 4, "embedding"

    def prepare(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Convert to Lab, lightness in [-1, 1], a and b over 127."""
        lab = rgb_to_lab(frames)
        return (lab - lab.new_tensor([50, 0, 0]).view(3, 1, 1)) / lab.new_tensor([50, 127, 127]).view(3, 1, 1)

    def stem(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 64 y2 x2"]:
        """Return what the first stage sees, at stride 2."""
        return torch.relu(self.bn1(self.conv1(frames)))

    def forward(self, frames: Float[Tensor, "b 3 y x"]) -> dict[str, Tensor]:
        """Return the output of every stage."""
        x, stages = self.stem(frames), {}
        for name in self.channels:
            x = self.get_submodule(name)(x)
            stages[name] = x
        return stages


class CorrFlowNet(MASTNet):
    """The same network on RGB.

    Source:
        Lai and Xie 2019 (CorrFlow), public code.
    """

    def prepare(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Leave RGB in [0, 1]."""
        return frames


class LIIRNet(MASTNet):
    """MAST's network with a learned position embedding behind its stem.

    Source:
        Li et al. 2022 (LIIR), unofficial code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed1 = nn.Parameter(torch.zeros(1, 64, _LEARNED_CELLS, _LEARNED_CELLS))

    def stem(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 64 y2 x2"]:
        """Return what the first stage sees, its place included."""
        x = super().stem(frames)
        return x + F.interpolate(self.pos_embed1, size=x.shape[-2:], mode="bicubic", align_corners=False)


@dataclass(frozen=True)
class MASTFactory(BackboneFactory):
    """One network of the family."""

    body: type[MASTNet]

    def __call__(self, *, stride: int, last_stage: int) -> MASTNet:
        """Make the network; stride 4 and all four stages."""
        if (stride, last_stage) != (4, 4):
            raise UsageError(
                f"this network has stride 4 and ends at stage 4; asked for stride {stride}, stage {last_stage}"
            )
        return self.body()


BACKBONES.register("mast-resnet18", about="MAST's ResNet-18 on Lab, stride 4")(MASTFactory(MASTNet))
BACKBONES.register("corrflow-resnet18", about="CorrFlow's ResNet-18 on RGB, stride 4")(MASTFactory(CorrFlowNet))
BACKBONES.register("liir-resnet18", about="LIIR's ResNet-18 on Lab with positions, stride 4")(MASTFactory(LIIRNet))
