"""TimeCycle (Wang et al. 2019): ResNet-50 with convolutions over one frame, and the convolution that it matches on.

Names and shapes [X] xiaolonw/TimeCycle: ``encoderVideo.`` before torchvision's names, each kernel with a time axis of
length 1; ``afterconv1.weight`` without bias, then a ReLU and unit length. ``afterconv3_trans``, ``afterconv4_trans``
and ``linear2`` estimate a transformation and are left out.

The convolution becomes this package's reduction, and a key head that changes nothing follows it: the key is TimeCycle's
feature.
"""

import torch

from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, identity_norm, rename, required
from selfvos.models.segmenter import SegmenterConfig

_CHANNELS = 512
_IGNORED = ("encoderVideo.layer4.", "afterconv1.", "afterconv3_trans.", "afterconv4_trans.", "linear2.")


@FORMATS.register("timecycle", about="TimeCycle: ResNet-50 to layer3, and its feature as the key")
def timecycle(state: State) -> Converted:
    """Convert TimeCycle's encoder."""
    body = rename(state, {"encoderVideo.": BACKBONE}, ignored=_IGNORED)
    same = torch.eye(_CHANNELS)[:, :, None, None]
    tensors = {
        **{name: tensor.squeeze(2) if tensor.ndim == 5 else tensor for name, tensor in body.items()},
        "encoder.reduce.0.weight": required(state, "afterconv1.weight").squeeze(2),
        **identity_norm("encoder.reduce.1", _CHANNELS),
        "encoder.key_head.0.weight": same,
        **identity_norm("encoder.key_head.1", _CHANNELS),
        "encoder.key_head.3.weight": same.clone(),
        **{f"encoder.{layer}.bias": torch.zeros(_CHANNELS) for layer in ("reduce.0", "key_head.0", "key_head.3")},
    }
    return Converted(
        SegmenterConfig(backbone="resnet50", last_stage=3, key_channels=_CHANNELS, mask_path="none"),
        tensors,
        "timecycle",
    )
