"""Building blocks of the mask path."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


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
