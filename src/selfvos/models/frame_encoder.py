"""The visual encoder E: a backbone, its base feature, and the key that matching works on."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.models.backbones.base import Backbone
from selfvos.types import FrameFeatures

_MAX_BASE_CHANNELS = 512


class FrameEncoder(nn.Module):
    """Encode frames into named stages, a base feature and unit-length keys.

    Source:
        Mask-VOS, method section and released code: 1x1 convolutions with batch norm reduce a base of more than
        512 channels to 512; two 1x1 convolutions (biases on, batch norm between) make the key.
        A backbone that learns nothing is its own key.
    """

    def __init__(self, backbone: Backbone, key_channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        deepest = backbone.channels[backbone.last]
        self.base_channels = min(deepest, _MAX_BASE_CHANNELS)
        self.reduce = nn.Identity() if deepest == self.base_channels else _unit(deepest, self.base_channels)
        self.key_head = (
            nn.Sequential(
                nn.Conv2d(self.base_channels, self.base_channels, 1),
                nn.BatchNorm2d(self.base_channels),
                nn.ReLU(),
                nn.Conv2d(self.base_channels, key_channels, 1),
            )
            if backbone.learns
            else nn.Identity()
        )

    def forward(self, frames: Float[Tensor, "b 3 y x"], *, keyed: bool = True) -> FrameFeatures:
        """Encode RGB frames in [0, 1] whose sides are multiples of the stride; without a key it has no channels."""
        stages = self.backbone(self.backbone.prepare(frames))
        base = self.reduce(stages[self.backbone.last])
        # Keys are compared by dot products of temperature 0.05: half precision would blur them.
        key = F.normalize(self.key_head(base).float(), dim=1) if keyed else base[:, :0].float()
        return FrameFeatures(key=key, base=base, stages=stages)


def _unit(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU())
