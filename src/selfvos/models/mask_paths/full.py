"""V and D as the paper's released code has them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.models.backbones.base import Backbone
from selfvos.models.blocks import CBAM, ResBlock
from selfvos.models.mask_path import MASK_PATHS, MaskPath, fold_objects, repeat_objects, unfold_objects
from selfvos.models.masked_body import masked_body, take_over
from selfvos.types import FrameFeatures, MaskContext

_VALUE = 512
_SKIP8 = 512
_SKIP4 = 256


class FrameMaskEncoder(nn.Module):
    """V: a ResNet to layer3 on RGB and one object's mask, fused with the frame's base feature.

    Source:
        Mask-VOS, released code (stem with four inputs and a bias; layer4 removed; for ResNet-50 a 1x1 convolution
        to 512; two residual blocks with a gated residual between). Departure: never starts from supervised weights.
    """

    def __init__(self, backbone_name: str, stride: int, base_channels: int) -> None:
        super().__init__()
        self.body = masked_body(backbone_name, stride=stride, last_stage=3, masks=1)
        width = self.body.channels["layer3"]
        self.narrow = nn.Conv2d(width, 512, 1) if width > 512 else nn.Identity()
        self.block1 = ResBlock(min(width, 512) + base_channels, _VALUE)
        self.attention = CBAM(_VALUE)
        self.block2 = ResBlock(_VALUE, _VALUE)

    def forward(self, frames: Tensor, masks: Tensor, base: Tensor) -> Float[Tensor, "n 512 h w"]:
        """Embed masks (n 1 y x, in [0, 1]) with their prepared frames (n 3 y x) and base features (n c h w)."""
        x = self.narrow(self.body(torch.cat([frames, masks], dim=1))["layer3"])
        x = self.block1(torch.cat([x, base], dim=1))
        return self.block2(x + self.attention(x))


class MaskDecoder(nn.Module):
    """D: from read-out and embedded coarse mask to one logit map, with two skips of the frame.

    Source:
        Mask-VOS, released code, layers D1 to D5.
    """

    def __init__(self) -> None:
        super().__init__()
        self.block1 = ResBlock(2 * _VALUE, 512)
        self.skip8 = nn.Conv2d(_SKIP8, 512, 3, padding=1)
        self.block2 = ResBlock(512, 256)
        self.skip4 = nn.Conv2d(_SKIP4, 256, 3, padding=1)
        self.block3 = ResBlock(256, 128)
        self.head = nn.Conv2d(128, 1, 3, padding=1)

    def forward(self, x: Tensor, skip8: Tensor, skip4: Tensor) -> Float[Tensor, "n 1 y4 x4"]:
        """Decode joined values (n 1024 h w) to logits at stride 4."""
        x = self.block2(self.block1(x) + skip8)
        x = F.interpolate(x, size=skip4.shape[-2:], mode="bilinear", align_corners=False)
        return self.head(torch.relu(self.block3(x + skip4)))


@MASK_PATHS.register("full")
class FullMaskPath(MaskPath):
    """The paper's pair: the most accurate at full training, ten times the cost of E."""

    value_channels = _VALUE

    def __init__(self, backbone_name: str, backbone: Backbone, base_channels: int) -> None:
        super().__init__()
        stride = backbone.strides[backbone.last]
        self.encoder = FrameMaskEncoder(backbone_name, stride, base_channels)
        self.decoder = MaskDecoder()
        self.reduce8 = _reduce(backbone.channels["layer2"], _SKIP8)
        self.reduce4 = _reduce(backbone.channels["layer1"], _SKIP4)

    def prepare(self, frames: Float[Tensor, "b 3 y x"], features: FrameFeatures) -> MaskContext:
        """Project the skips once, through D's own 3x3 convolutions."""
        return MaskContext(
            frame=frames,
            base=features.base,
            skip8=self.decoder.skip8(self.reduce8(features.stages["layer2"])),
            skip4=self.decoder.skip4(self.reduce4(features.stages["layer1"])),
        )

    def encode(self, context: MaskContext, masks: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o v h w"]:
        """Run V on every object."""
        b, o = masks.shape[:2]
        frames, base = repeat_objects(context.frame, o), repeat_objects(context.base, o)
        return self.encoder(frames, fold_objects(masks)[:, None], base).unflatten(0, (b, o))

    def decode(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Run D on every object."""
        b, o = readout.shape[:2]
        x = fold_objects(torch.cat([readout, values], dim=2))
        logits = self.decoder(x, repeat_objects(context.skip8, o), repeat_objects(context.skip4, o))
        return unfold_objects(logits, b, context.frame)

    def start_from(self, backbone: Backbone) -> None:
        """Copy the trained backbone into V; the mask's input channel starts at zero."""
        take_over(self.encoder.body, backbone)


def _reduce(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU())
