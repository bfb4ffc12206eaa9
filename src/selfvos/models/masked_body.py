"""A ResNet that sees masks beside the frame."""

import torch
from torch import nn

from selfvos.models.backbones.base import BACKBONES, Backbone


def masked_body(backbone_name: str, *, stride: int, last_stage: int, masks: int) -> Backbone:
    """Make a ResNet with random weights whose stem takes RGB and mask channels, with a bias."""
    body = BACKBONES.get(backbone_name)(stride=stride, last_stage=last_stage)
    stem = nn.Conv2d(3 + masks, len(body.get_parameter("conv1.weight")), 7, 2, 3)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    body.conv1 = stem
    return body


@torch.no_grad()
def take_over(body: Backbone, backbone: Backbone) -> None:
    """Copy a trained backbone into a masked body, as deep as both go; the input channels of masks start at zero."""
    weights = {name: tensor for name, tensor in backbone.state_dict().items() if not name.startswith("conv1.")}
    body.load_state_dict(weights, strict=False)
    stem = body.get_parameter("conv1.weight")
    stem[:, :3] = backbone.get_parameter("conv1.weight")
    stem[:, 3:] = 0
    body.get_parameter("conv1.bias").zero_()
