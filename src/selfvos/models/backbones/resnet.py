"""ResNet-18 and ResNet-50 with a fine grid: output stride 8 (or 4, or 16) instead of 32."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES, Backbone, BackboneFactory
from selfvos.ops.colour import normalise_imagenet, rgb_to_lab


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Apply the block."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut; the 3x3 carries the stride."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Apply the block."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(Backbone):
    """A ResNet body whose parameter names are torchvision's, so that published weights load.

    Source:
        He et al. 2016. Departures, as in CRW and Mask-VOS: every convolution of layer3 and layer4 has
        stride 1, without dilation (stride 8); at stride 4, those of layer2 as well, at stride 16 those of layer4
        alone. The classifier is left out.
    """

    stem_channels: ClassVar[int] = 64
    """Channels after the first convolution; each stage is twice as wide as the one before."""

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, ...], *, stride: int, last_stage: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, self.stem_channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(self.stem_channels)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.channels, self.strides = {}, {}
        inputs, reached = self.stem_channels, 4
        for number, depth in enumerate(depths[:last_stage], start=1):
            step = 2 if number > 1 and reached < stride else 1
            width = self.stem_channels * 2 ** (number - 1)
            first = block(inputs, width, step)
            inputs, reached = width * block.expansion, reached * step
            name = f"layer{number}"
            self.add_module(name, nn.Sequential(first, *(block(inputs, width, 1) for _ in range(depth - 1))))
            self.channels[name], self.strides[name] = inputs, reached
        self.last, self._own = f"layer{last_stage}", tuple(self.channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def prepare(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Subtract ImageNet's mean colour and divide by its spread."""
        return normalise_imagenet(frames)

    def forward(self, frames: Float[Tensor, "b c y x"]) -> dict[str, Tensor]:
        """Return the output of every stage; three channels, unless the stem was exchanged for a wider one."""
        # Rectified after pooling: the same, of a quarter of the numbers.
        x = torch.relu(self.maxpool(self.bn1(self.conv1(frames))))
        stages = {}
        for name in self._own:
            x = self.get_submodule(name)(x)
            stages[name] = x
        return stages


class ReflectResNet(ResNet):
    """A ResNet whose convolutions see the picture mirrored beyond its border instead of zeros.

    Source:
        Jabri et al. 2020, public code, with which CRW's published weights were trained.
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, ...], *, stride: int, last_stage: int
    ) -> None:
        super().__init__(block, depths, stride=stride, last_stage=last_stage)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.padding_mode = "reflect"


class GreyResNet(ResNet):
    """A ResNet that sees lightness alone, three times.

    Source:
        Li et al. 2019 (UVC), public code: Lab lightness in [0, 1], normalised as if it were RGB.
    """

    def prepare(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Put lightness in each channel, then subtract ImageNet's mean colour and divide by its spread."""
        return normalise_imagenet((rgb_to_lab(frames)[:, :1] / 100).expand(-1, 3, -1, -1))


@dataclass(frozen=True)
class ResNetFactory(BackboneFactory):
    """One depth of the family."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, ...]
    body: type[ResNet] = ResNet

    def __call__(self, *, stride: int, last_stage: int) -> ResNet:
        """Make the network; stride 4, 8 or 16, last stage 3 or 4."""
        if stride not in (4, 8, 16) or last_stage not in (3, 4):
            raise UsageError(
                f"a ResNet has stride 4, 8 or 16 and ends at stage 3 or 4; asked for {stride} and {last_stage}"
            )
        return self.body(self.block, self.depths, stride=stride, last_stage=last_stage)


BACKBONES.register("resnet18", about="ResNet-18 at stride 8, 4 or 16")(ResNetFactory(BasicBlock, (2, 2, 2, 2)))
BACKBONES.register("resnet50", about="ResNet-50 at stride 8, 4 or 16")(ResNetFactory(Bottleneck, (3, 4, 6, 3)))
BACKBONES.register("resnet18-reflect", about="ResNet-18 with mirrored borders, as CRW's weights want it")(
    ResNetFactory(BasicBlock, (2, 2, 2, 2), ReflectResNet)
)
BACKBONES.register("resnet18-grey", about="ResNet-18 that sees lightness alone, as UVC's weights want it")(
    ResNetFactory(BasicBlock, (2, 2, 2, 2), GreyResNet)
)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
