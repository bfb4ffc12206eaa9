"""Two ResNets side by side that see the same frame."""

from collections.abc import Collection

from jaxtyping import Float
from torch import Tensor

from selfvos.models.backbones.base import BACKBONES
from selfvos.models.backbones.resnet import BasicBlock, Bottleneck, ResNet, ResNetFactory

TWIN = "-twin"
"""What the name of such a backbone ends with."""
BESIDE = "twin_"
"""What the names of the second one's stages begin with."""


class TwinResNet(ResNet):
    """A ResNet as ever, and a second one whose stages go by names of their own: ``twin_layer3`` beside ``layer3``.

    All that is trained on the first one, key head, V and D, sees nothing of the second: it is there to be matched by.
    Two that were trained apart are put together (`selfvos.models.joining`); trained as one, the second learns nothing.

    Source:
        SFC (Hu et al. 2022) and HVC (Li and Liu 2023), which match by two encoders at test time. Departure: features
        are joined and whitened together, affinities are not added.
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, ...], *, stride: int, last_stage: int
    ) -> None:
        super().__init__(block, depths, stride=stride, last_stage=last_stage)
        self.twin: ResNet | None = ResNet(block, depths, stride=stride, last_stage=last_stage)
        self.channels |= {BESIDE + name: channels for name, channels in self.twin.channels.items()}
        self.strides |= {BESIDE + name: step for name, step in self.twin.strides.items()}

    def forward(self, frames: Float[Tensor, "b c y x"]) -> dict[str, Tensor]:
        """Return the output of every stage of both."""
        stages = super().forward(frames)
        if self.twin is None:
            return stages
        return stages | {BESIDE + name: stage for name, stage in self.twin(frames).items()}

    def leave_out_all_but(self, stages: Collection[str]) -> None:
        """Forget the second one where none of its stages is wanted: half of the work."""
        if not any(name.startswith(BESIDE) for name in stages):
            self.twin = None
            self.channels = {name: n for name, n in self.channels.items() if not name.startswith(BESIDE)}
            self.strides = {name: n for name, n in self.strides.items() if not name.startswith(BESIDE)}


BACKBONES.register("resnet18" + TWIN, about="two ResNet-18 side by side, to match by both; made by selfvos join")(
    ResNetFactory(BasicBlock, (2, 2, 2, 2), TwinResNet)
)
