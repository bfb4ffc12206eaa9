"""The networks of STM: keys and values of masked frames, and a decoder of what memory says."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfvos.models.backbones.base import Backbone
from selfvos.models.blocks import Refine, ResBlock
from selfvos.models.mask_path import MASK_PATHS, MaskPath, fold_objects, repeat_objects, unfold_objects
from selfvos.models.masked_body import masked_body, take_over
from selfvos.ops.space_time import KEY_CHANNELS, VALUE_CHANNELS
from selfvos.types import FrameFeatures, MaskContext

_WIDTH = 256


@MASK_PATHS.register("stm", about="supervised: STM, a memory of keys and values for each object")
class STMMaskPath(MaskPath):
    """Keys and values, joined, take the place of mask embeddings.

    ``MaskContext.base`` is the frame's own key and value; `encode` gives those of a memory frame, one for each
    object; `decode` takes what `selfvos.ops.space_time.space_time_read` returns.

    Source:
        STM (Oh et al. 2019) and its public code: RGB, the object's mask and the other objects' mask into the memory
        encoder; both encoders end after layer3 (stride 16); key 128, value 512; decoder of one residual block and two
        refinements of 256 channels. Departures: the query encoder is the visual encoder E, whose layer3 has the
        segmenter's stride (16 in our recipes); masks enter the stem as further channels of one convolution, as in
        Mask-VOS, which is the published sum of convolutions; the two-class softmax is the sigmoid of one map.
    """

    system = "stm"
    strides = (4, 8, 16)
    value_channels = KEY_CHANNELS + VALUE_CHANNELS

    def __init__(self, backbone_name: str, backbone: Backbone, base_channels: int) -> None:  # noqa: ARG002
        super().__init__()
        width = backbone.channels["layer3"]
        self.body = masked_body(backbone_name, stride=backbone.strides[backbone.last], last_stage=3, masks=2)
        self.remember = nn.Conv2d(width, self.value_channels, 3, padding=1)
        self.look_up = nn.Conv2d(width, self.value_channels, 3, padding=1)
        self.join = nn.Conv2d(2 * VALUE_CHANNELS, _WIDTH, 3, padding=1)
        self.block = ResBlock(_WIDTH, _WIDTH)
        self.refine8 = Refine(backbone.channels["layer2"], _WIDTH)
        self.refine4 = Refine(backbone.channels["layer1"], _WIDTH)
        self.head = nn.Conv2d(_WIDTH, 1, 3, padding=1)

    def prepare(self, frames: Float[Tensor, "b 3 y x"], features: FrameFeatures) -> MaskContext:
        """Make the frame's key and value, and project the skips, once for all objects."""
        return MaskContext(
            frame=frames,
            base=self.look_up(features.stages["layer3"]),
            skip8=self.refine8.project(features.stages["layer2"]),
            skip4=self.refine4.project(features.stages["layer1"]),
        )

    def encode(self, context: MaskContext, masks: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o v h w"]:
        """Make every object's key and value of a frame whose masks are known."""
        b, o = masks.shape[:2]
        others = (masks.sum(dim=1, keepdim=True) - masks).clamp(0, 1)
        seen = torch.stack([masks, others], dim=2)
        x = self.body(torch.cat([repeat_objects(context.frame, o), fold_objects(seen)], dim=1))["layer3"]
        return self.remember(x).unflatten(0, (b, o))

    def decode(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Decode what memory says of every object beside the frame's own value."""
        b, o = readout.shape[:2]
        x = self.block(self.join(fold_objects(torch.cat([readout, values], dim=2))))
        x = self.refine8(x, repeat_objects(context.skip8, o))
        x = self.refine4(x, repeat_objects(context.skip4, o))
        logits = self.head(torch.relu(x))
        return unfold_objects(logits, b, context.frame)

    def start_from(self, backbone: Backbone) -> None:
        """Copy the trained backbone into the memory encoder."""
        take_over(self.body, backbone)
