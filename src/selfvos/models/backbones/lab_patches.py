"""Raw colour as a feature: what any learned encoder has to beat."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES, Backbone, BackboneFactory
from selfvos.ops.colour import rgb_to_lab


class LabPatches(Backbone):
    """The Lab pixels of each cell's square, averaged to 4x4 sub-cells: 48 numbers, nothing learned.

    A constant is appended so that the angle between two features grows with the distance of their colours.
    """

    learns: ClassVar[bool] = False

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.channels = {"patch": 49}
        self.strides = {"patch": stride}
        self.last = "patch"
        self._stride = stride

    def prepare(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Convert to Lab, lightness centred, 100 units to 1."""
        return (rgb_to_lab(frames) - torch.tensor([50.0, 0.0, 0.0], device=frames.device).view(3, 1, 1)) / 100

    def forward(self, frames: Float[Tensor, "b 3 y x"]) -> dict[str, Tensor]:
        """Return one stage, ``patch``."""
        fine = F.avg_pool2d(frames, self._stride // 4)
        patches = F.pixel_unshuffle(fine, 4)
        return {"patch": torch.cat([patches, torch.ones_like(patches[:, :1])], dim=1)}


class LabPatchesFactory(BackboneFactory):
    """Makes the colour baseline; it has one stage whatever is asked."""

    def __call__(self, *, stride: int, last_stage: int) -> LabPatches:  # noqa: ARG002
        """Make the baseline; stride 4 or 8."""
        if stride not in (4, 8):
            raise UsageError(f"Lab patches come at stride 4 or 8, not {stride}")
        return LabPatches(stride)


BACKBONES.register("lab-patches", about="raw Lab colour, nothing learned: the baseline")(LabPatchesFactory())
