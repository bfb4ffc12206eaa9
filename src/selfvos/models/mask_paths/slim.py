"""V and D that a laptop can run: three refinement rounds add about a third to the cost of a frame."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.models.backbones.base import Backbone
from selfvos.models.blocks import ResBlock
from selfvos.models.mask_path import MASK_PATHS, MaskPath, fold_objects, repeat_objects
from selfvos.types import FrameFeatures, MaskContext

_WIDTH = 128
_STEM = 64
_FINE = 32
_SUB = 2
_SURE = 0.98


@MASK_PATHS.register("slim")
class SlimMaskPath(MaskPath):
    """A narrow pair that works on the feature grid and corrects the coarse mask instead of drawing it anew.

    The frame enters V as one strided projection and as E's base feature, both computed once per frame. A mask
    embedding carries the mask itself on half-cells in its last four channels: memory's read-out then holds the
    warped masks at twice the grid's resolution, and D adds its output to the log-odds of the coarse mask. D's last
    layer starts at zero, so an untrained pair returns the coarse mask.

    Source:
        Own design in the roles of V and D of Mask-VOS; see ``full`` for the paper's layers.
    """

    value_channels = _WIDTH + _SUB * _SUB

    def __init__(self, backbone_name: str, backbone: Backbone, base_channels: int) -> None:  # noqa: ARG002
        super().__init__()
        self.stride = backbone.strides[backbone.last]
        half = self.stride // _SUB
        self.frame_stem = nn.Conv2d(3, _STEM, self.stride, self.stride)
        self.mask_stem = nn.Sequential(
            nn.Conv2d(1, _STEM // 4, half, half), nn.ReLU(), nn.Conv2d(_STEM // 4, _STEM, _SUB, _SUB)
        )
        self.base = nn.Conv2d(base_channels, _WIDTH, 1)
        self.fuse = nn.Conv2d(_STEM + _WIDTH, _WIDTH, 1)
        self.embed = ResBlock(_WIDTH, _WIDTH)

        self.join = nn.Conv2d(2 * self.value_channels, _WIDTH, 1)
        self.skip8 = nn.Conv2d(backbone.channels["layer2"], _WIDTH, 1)
        self.coarse = ResBlock(_WIDTH, _WIDTH)
        self.widen = nn.Conv2d(_WIDTH, _FINE * _SUB * _SUB, 1)
        self.skip4 = nn.Conv2d(backbone.channels["layer1"], _FINE, 3, padding=1)
        self.fine = ResBlock(_FINE, _FINE)
        self.head = nn.Conv2d(_FINE, 1, 3, padding=1)
        self.around_v: nn.Module = nn.Identity()
        """What V sees of a cell's surroundings, before the residual block; see `wide`."""
        self.around_d: nn.Module = nn.Identity()
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def prepare(self, frames: Float[Tensor, "b 3 y x"], features: FrameFeatures) -> MaskContext:
        """Project frame, base and skips once for all objects and rounds."""
        h, w = features.base.shape[-2:]
        skip4 = self.skip4(features.stages["layer1"])
        return MaskContext(
            frame=self.frame_stem(frames),
            base=torch.relu(self.base(features.base)),
            skip8=self.skip8(features.stages["layer2"]),
            skip4=F.interpolate(skip4, size=(_SUB * h, _SUB * w), mode="bilinear", align_corners=False),
        )

    def encode(self, context: MaskContext, masks: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o v h w"]:
        """Embed every object's mask; its last four channels are the mask on half-cells."""
        b, o = masks.shape[:2]
        drawn = torch.relu(repeat_objects(context.frame, o) + self.mask_stem(fold_objects(masks)[:, None]))
        x = self.fuse(torch.cat([drawn, repeat_objects(context.base, o)], dim=1))
        x = self.embed(self.around_v(x))
        half_cells = F.pixel_unshuffle(F.avg_pool2d(masks, self.stride // _SUB).flatten(0, 1)[:, None], _SUB)
        half_cells = half_cells.to(x.dtype, memory_format=_format(x))
        return torch.cat([x, half_cells], dim=1).unflatten(0, (b, o))

    def decode(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Correct the coarse mask inside `values` and bring it to the frame's size."""
        prior = F.pixel_shuffle(fold_objects(values)[:, -_SUB * _SUB :], _SUB)
        logits = self.correction(context, readout, values) + torch.logit(prior.float().clamp(1 - _SURE, _SURE))
        return self.in_pixels(logits, values)

    def correction(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "bo 1 h2 w2"]:
        """Return what is to be added to the log-odds of every object's coarse mask, on half-cells."""
        o = values.shape[1]
        x = self.join(torch.cat([fold_objects(readout), fold_objects(values)], dim=1))
        x = self.coarse(self.around_d(x + repeat_objects(context.skip8, o)))
        x = F.pixel_shuffle(self.widen(torch.relu(x)), _SUB)
        return self.head(torch.relu(self.fine(x + repeat_objects(context.skip4, o))))

    def in_pixels(
        self, maps: Float[Tensor, "bo 1 h2 w2"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Bring every object's map to the frame's size and set objects beside their frames again."""
        size = values.shape[-2] * self.stride, values.shape[-1] * self.stride
        maps = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
        return maps[:, 0].unflatten(0, values.shape[:2])


def _format(x: Tensor) -> torch.memory_format:
    """Return how a tensor lies in memory: what is joined with it must not change that."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
