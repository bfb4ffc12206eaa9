"""Masks with the flaws that tracking brings about, for learning to mend them."""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

_KEPT = (0.35, 0.9)
"""Range of the share of an object's extent, along a random direction, that is kept where a part is cut away."""
_REACH = (0.15, 0.6)
"""Range of how far an object spills over, relative to its extent in that direction."""


def perturb(labels: Int64[Tensor, "b y x"], objects: int, share: float, generator: torch.Generator) -> Tensor:
    """Cut a part off some objects, and let others spill over into the background beside them.

    A part that an object shows anew while it turns has nothing in memory that it could match, and is taken for
    background from then on; what leaks, stays. A network that only ever sees memories without a flaw has nothing
    to mend. Here memory is wrong and the target is not.

    Args:
        labels: 0 for background, 1..objects; those above `objects` are left as they are.
        objects: How many labels may get a flaw.
        share: Of the objects of all clips that get one, in [0, 1]: half of them lose, half gain.
        generator: The only source of randomness, on the CPU.

    Returns:
        Labels of the same shape. No object takes a place from another, none goes below a third of its extent.

    Source:
        Own design. Supervised video segmentation likewise deforms masks that it wants refined (Perazzi et al. 2017);
        here whole sides are missing or too many, as in propagated labels.
    """
    result = labels
    for label in range(1, objects + 1):
        draw = torch.rand(4, len(labels), generator=generator).to(labels.device)
        chosen = draw[0] < share
        losing = draw[1] < 0.5
        shape = labels == label
        along = _along(shape, 2 * math.pi * draw[2])
        cut = shape & (along > _between(_KEPT, draw[3])[:, None, None])
        spilt = _shifted(shape, 2 * math.pi * draw[2], _between(_REACH, draw[3])) & (labels == 0)
        result = result.masked_fill(cut & (chosen & losing)[:, None, None], 0)
        result = result.masked_fill(spilt & (chosen & ~losing)[:, None, None] & (result == 0), label)
    return result


def _between(bounds: tuple[float, float], unit: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
    return bounds[0] + (bounds[1] - bounds[0]) * unit


def _places(shape: Bool[Tensor, "b y x"], towards: Float[Tensor, "b"]) -> Float[Tensor, "b y x"]:
    """Return how far each pixel lies in a direction, in half sides of the picture."""
    y, x = ((torch.arange(n, device=shape.device) * 2 + 1) / n - 1 for n in shape.shape[-2:])
    return x * towards.cos()[:, None, None] + y[:, None] * towards.sin()[:, None, None]


def _range(shape: Bool[Tensor, "b y x"], places: Float[Tensor, "b y x"]) -> tuple[Tensor, Tensor]:
    least = places.masked_fill(~shape, math.inf).flatten(1).amin(dim=1)
    most = places.masked_fill(~shape, -math.inf).flatten(1).amax(dim=1)
    return least, most


def _along(shape: Bool[Tensor, "b y x"], towards: Float[Tensor, "b"]) -> Float[Tensor, "b y x"]:
    """Return 0 at the near and 1 at the far end of each shape; meaningless where a shape is empty."""
    places = _places(shape, towards)
    least, most = _range(shape, places)
    return (places - least[:, None, None]) / (most - least).clamp_min(1e-6)[:, None, None]


def _shifted(
    shape: Bool[Tensor, "b y x"], towards: Float[Tensor, "b"], reach: Float[Tensor, "b"]
) -> Bool[Tensor, "b y x"]:
    """Move each shape by a share of its extent; nothing comes in from beyond the picture."""
    least, most = _range(shape, _places(shape, towards))
    length = (reach * (most - least)).clamp(0, 2)
    theta = torch.eye(2, 3, device=shape.device).repeat(len(shape), 1, 1)
    theta[:, :, 2] = -length[:, None] * torch.stack([towards.cos(), towards.sin()], dim=1)
    grid = F.affine_grid(theta, [len(shape), 1, *shape.shape[-2:]], align_corners=False)
    moved = F.grid_sample(shape[:, None].float(), grid, mode="nearest", align_corners=False)
    return moved[:, 0] > 0.5
