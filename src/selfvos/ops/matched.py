"""What of a frame's features is matched: the key, a stage of the backbone, or several stages together."""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.types import FrameFeatures


def check_matched(name: str, stages: Iterable[str]) -> None:
    """Refuse a name that `matched` would not find.

    Args:
        name: See `matched`.
        stages: Those of the network.

    Raises:
        UsageError: The network has no such feature.
    """
    known = list(stages)
    if name != "key" and not set(name.split("+")) <= set(known):
        hint = f"this network has {', '.join(['key', *known])}"
        raise UsageError(f"unknown feature {name!r}; {hint}: choose a preset for it, or set feature.stage")


def matched(
    features: FrameFeatures, name: str, *, unit_length: bool = True, scale: int = 1
) -> Float[Tensor, "b c h w"]:
    """Return the features that cells are compared by.

    Args:
        features: Of a batch of frames.
        name: ``key``; a stage such as ``layer3``; or several on one grid, joined by +: ``layer2+layer3``.
        unit_length: Bring stages to unit length in every cell; several have equal shares in it. The key
            has it anyway, until it is interpolated.
        scale: Interpolate stages to so many times their rows and columns.

    Raises:
        UsageError: The stages lie on different grids.
    """
    if name == "key" and scale == 1:
        return features.key
    stages = [features.key if part == "key" else features.stages[part].float() for part in name.split("+")]
    if len({stage.shape[2:] for stage in stages}) > 1:
        raise UsageError(f"the stages of {name!r} have cells of different sizes: choose some that agree")
    if scale != 1:
        stages = [F.interpolate(s, scale_factor=float(scale), mode="bilinear", align_corners=False) for s in stages]
    if not unit_length:
        return torch.cat(stages, dim=1)
    return torch.cat([F.normalize(stage, dim=1) for stage in stages], dim=1) / math.sqrt(len(stages))
