"""The networks of RGMP: one encoder for the reference and the current frame, and a decoder of both."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfvos.models.backbones.base import Backbone
from selfvos.models.blocks import GlobalConvolution, Refine, ResBlock
from selfvos.models.mask_path import MASK_PATHS, MaskPath, fold_objects, repeat_objects, unfold_objects
from selfvos.models.masked_body import masked_body, take_over
from selfvos.types import FrameFeatures, MaskContext

_WIDTH = 256


@MASK_PATHS.register("rgmp", about="supervised: RGMP, the first frame beside the latest mask")
class RGMPMaskPath(MaskPath):
    """`encode` is the siamese encoder; `decode` takes its view of the reference and of the current frame.

    ``MaskContext.base`` is the projected layer3, for the deepest refinement.

    Source:
        RGMP (Oh et al. 2018) and its public code: RGB with a mask into one encoder for both streams, joined; global
        convolution 7x7 to 256 channels; refinement with the stages behind. Departures: the encoder ends at the
        segmenter's stride (16 in our recipes; 32 there), so that the first refinement keeps the size; skips come
        from the visual encoder E, once for all objects, not from the masked stream; the two-class softmax is the
        sigmoid of one map.
    """

    system = "rgmp"
    strides = (4, 8, 16)

    def __init__(self, backbone_name: str, backbone: Backbone, base_channels: int) -> None:  # noqa: ARG002
        super().__init__()
        stage = int(backbone.last.removeprefix("layer"))
        self.body = masked_body(backbone_name, stride=backbone.strides[backbone.last], last_stage=stage, masks=1)
        self.value_channels = backbone.channels[backbone.last]
        self.join = GlobalConvolution(2 * self.value_channels, _WIDTH)
        self.block = ResBlock(_WIDTH, _WIDTH)
        self.refine16 = Refine(backbone.channels["layer3"], _WIDTH)
        self.refine8 = Refine(backbone.channels["layer2"], _WIDTH)
        self.refine4 = Refine(backbone.channels["layer1"], _WIDTH)
        self.head = nn.Conv2d(_WIDTH, 1, 3, padding=1)

    def prepare(self, frames: Float[Tensor, "b 3 y x"], features: FrameFeatures) -> MaskContext:
        """Project the skips once for all objects."""
        return MaskContext(
            frame=frames,
            base=self.refine16.project(features.stages["layer3"]),
            skip8=self.refine8.project(features.stages["layer2"]),
            skip4=self.refine4.project(features.stages["layer1"]),
        )

    def encode(self, context: MaskContext, masks: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o v h w"]:
        """Look at the frame together with every object's mask."""
        b, o = masks.shape[:2]
        x = self.body(torch.cat([repeat_objects(context.frame, o), fold_objects(masks)[:, None]], dim=1))
        return x[self.body.last].unflatten(0, (b, o))

    def decode(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Decode the reference (`readout`) beside the current frame (`values`)."""
        b, o = readout.shape[:2]
        x = self.block(self.join(fold_objects(torch.cat([readout, values], dim=2))))
        x = self.refine16(x, repeat_objects(context.base, o))
        x = self.refine8(x, repeat_objects(context.skip8, o))
        x = self.refine4(x, repeat_objects(context.skip4, o))
        logits = self.head(torch.relu(x))
        return unfold_objects(logits, b, context.frame)

    def start_from(self, backbone: Backbone) -> None:
        """Copy the trained backbone into the siamese encoder."""
        take_over(self.body, backbone)
