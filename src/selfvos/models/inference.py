"""The same network, made ready for watching frames instead of learning from them."""

import copy
from collections.abc import Collection

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from selfvos.models.ready_layers import make_ready
from selfvos.models.segmenter import Segmenter
from selfvos.ops import winograd


def for_inference(model: Segmenter, stages: Collection[str] | None = None) -> Segmenter:
    """Return a copy without gradients whose batch normalisation is part of its convolutions, channels last in memory.

    Features differ from the original's by rounding only. A normalisation without running statistics, which looks at
    the frame itself, stays as it is.

    Args:
        model: A network in evaluation mode; it is not changed.
        stages: Those of the backbone that will be looked at, besides what key, V and D need; None: all.
    """
    ready = copy.deepcopy(model).requires_grad_(False).eval()
    if stages is not None:
        ready.encoder.backbone.leave_out_all_but(stages)
    _fold(ready)
    if ready.device.type == "cpu" and winograd.is_worth_it():
        make_ready(ready)
    return ready.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _fold(module: nn.Module) -> None:
    """Fold each normalisation into the convolution that its module declares right before it."""
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before and child.running_mean is not None:
            module.register_module(before[0], fuse_conv_bn_eval(before[1], child))
            module.register_module(name, nn.Identity())
        before = (name, child) if isinstance(child, nn.Conv2d) else None
        _fold(child)
