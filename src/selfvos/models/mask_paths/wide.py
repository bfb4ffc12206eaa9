"""V and D that see an object whole, for hardly more than the slim pair costs."""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.models.backbones.base import Backbone
from selfvos.models.blocks import ResBlock
from selfvos.models.mask_path import MASK_PATHS
from selfvos.models.mask_paths.slim import SlimMaskPath
from selfvos.types import MaskContext

_POOL = 4
_BLOCKS_V, _BLOCKS_D = 2, 3
_USUAL_SCORE, _SPREAD = 0.8, 0.2
_GAIN = 4.0
_GROUPS = 4


def start_at_zero(layer: nn.Conv2d) -> None:
    """Let a convolution give nothing until it has learned."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class Surroundings(nn.Module):
    """Adds to every cell what lies far around it, by residual blocks on means of 4 x 4 cells.

    At stride 8 a block of two convolutions sees 64 pixels farther to each side, for a sixteenth of what it costs there.
    """

    def __init__(self, width: int, blocks: int) -> None:
        """Make blocks that add nothing before they have learned.

        Args:
            width: Channels.
            blocks: How many, at least 1.
        """
        super().__init__()
        self.blocks = nn.Sequential(*(ResBlock(width, width) for _ in range(blocks)))
        for block in self.blocks:
            assert isinstance(block, ResBlock)
            start_at_zero(block.conv2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return cells with their surroundings; at the border means are of the cells that are there."""
        h, w = x.shape[-2:]
        near = F.avg_pool2d(x, _POOL, ceil_mode=True, count_include_pad=False)
        far = F.interpolate(self.blocks(near) - near, scale_factor=float(_POOL), mode="bilinear", align_corners=False)
        return x + far[..., :h, :w]


@MASK_PATHS.register("wide")
class WideMaskPath(SlimMaskPath):
    """The slim pair with a branch at stride 32 in V and in D, and with evidence: how well memory knows each cell.

    D corrects the log-probabilities of the coarse mask at the frame's size, where the slim pair redraws the mask from
    half-cells: what is finer than that stays, and an untrained pair changes nothing at all.

    Source:
        Own design in the roles of V and D of Mask-VOS; see ``full`` for the paper's layers.
    """

    corrects = True

    def __init__(self, backbone_name: str, backbone: Backbone, base_channels: int) -> None:
        super().__init__(backbone_name, backbone, base_channels)
        width = self.join.out_channels
        self.around_v = Surroundings(width, _BLOCKS_V)
        # Without normalisation, noisy early steps drive what is before D's last layer below zero for good.
        self.around_d = nn.Sequential(nn.GroupNorm(_GROUPS, width), Surroundings(width, _BLOCKS_D))
        self.fine = nn.Sequential(nn.GroupNorm(_GROUPS, self.head.in_channels), self.fine)
        self.evidence = nn.Conv2d(2, width, 1)
        start_at_zero(self.evidence)

    def decode(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Return what is to be added to the log-probabilities of every object's coarse mask."""
        if context.evidence is not None:
            seen = (context.evidence - _USUAL_SCORE) / _SPREAD
            context = replace(context, skip8=context.skip8 + self.evidence(seen.to(context.skip8.dtype)))
        return self.in_pixels(_GAIN * self.correction(context, readout, values), values)
