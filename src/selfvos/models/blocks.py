"""Building blocks of the mask path."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ResBlock(nn.Module):
    """Two pre-activated 3x3 convolutions with biases and no normalisation, around a shortcut.

    Source:
        Mask-VOS (released code), as in STM: a 3x3 convolution is the shortcut where the width changes.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Apply the block."""
        return self.shortcut(x) + self.conv2(torch.relu(self.conv1(torch.relu(x))))


class CBAM(nn.Module):
    """Gate channels by their global statistics, then cells by theirs.

    Source:
        Woo et al. 2018; shared two-layer MLP with reduction 16, 7x7 spatial gate, as in Mask-VOS' released code.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the gated input."""
        gate = torch.sigmoid(self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3))))
        x = x * gate[:, :, None, None]
        summary = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(summary))


class Refine(nn.Module):
    """Bring a coarse feature to the size of a skip and join both.

    Source:
        STM and RGMP, public code: a 3x3 convolution and a residual block on the skip, a residual block on the sum.
    """

    def __init__(self, skip: int, width: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(skip, width, 3, padding=1)
        self.before = ResBlock(width, width)
        self.after = ResBlock(width, width)

    def project(self, stage: Float[Tensor, "b s y x"]) -> Float[Tensor, "b c y x"]:
        """Return a stage as `forward` wants the skip: the part that does not depend on objects."""
        return self.before(self.narrow(stage))

    def forward(self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """Join a coarse feature with a projected skip."""
        return self.after(skip + F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False))


class GlobalConvolution(nn.Module):
    """See 7 x 7 cells by two pairs of flat convolutions, summed.

    Source:
        Peng et al. 2017, as in RGMP.
    """

    def __init__(self, inputs: int, outputs: int, size: int = 7) -> None:
        super().__init__()
        tall, wide, around = (size, 1), (1, size), size // 2
        self.tall_wide = nn.Sequential(
            nn.Conv2d(inputs, outputs, tall, padding=(around, 0)),
            nn.Conv2d(outputs, outputs, wide, padding=(0, around)),
        )
        self.wide_tall = nn.Sequential(
            nn.Conv2d(inputs, outputs, wide, padding=(0, around)),
            nn.Conv2d(outputs, outputs, tall, padding=(around, 0)),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Apply both pairs."""
        return self.tall_wide(x) + self.wide_tall(x)
