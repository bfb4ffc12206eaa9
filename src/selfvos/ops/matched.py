"""What of a frame's features is matched: the key, a stage of the backbone, or several stages together."""

import math
from collections.abc import Iterable, Sequence

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
    features: FrameFeatures,
    name: str,
    *,
    unit_length: bool = True,
    scale: int = 1,
    beside: Sequence[FrameFeatures] = (),
) -> Float[Tensor, "b c h w"]:
    """Return the features that cells are compared by.

    Args:
        features: Of a batch of frames.
        name: ``key``; a stage such as ``layer3``; or several on one grid, joined by +: ``layer2+layer3``.
        unit_length: Bring stages to unit length in every cell; several have equal shares in it. The key
            has it anyway, until it is interpolated.
        scale: Interpolate stages to so many times their rows and columns.
        beside: Of the same frames at other sizes: the same stages of these, interpolated to the same cells, are more
            stages.

    Raises:
        UsageError: The stages lie on different grids.
    """
    if name == "key" and scale == 1 and not beside:
        return features.key
    stages = _stages(features, name)
    if len({stage.shape[2:] for stage in stages}) > 1:
        raise UsageError(f"the stages of {name!r} have cells of different sizes: choose some that agree")
    rows, columns = (side * scale for side in stages[0].shape[2:])
    stages = [_resized(one, (rows, columns)) for view in (features, *beside) for one in _stages(view, name)]
    if not unit_length:
        return torch.cat(stages, dim=1)
    return torch.cat([F.normalize(stage, dim=1) for stage in stages], dim=1).div_(math.sqrt(len(stages)))


def _stages(features: FrameFeatures, name: str) -> list[Tensor]:
    return [features.key if part == "key" else features.stages[part].float() for part in name.split("+")]


def _resized(stage: Tensor, size: tuple[int, int]) -> Tensor:
    if stage.shape[2:] == size:
        return stage
    return F.interpolate(stage, size=size, mode="bilinear", align_corners=False)
