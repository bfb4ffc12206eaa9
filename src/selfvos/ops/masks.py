"""Masks as probabilities: one channel per object, soft aggregation, sizes."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

_TINY = 1e-7
_SURE = 1e-3
"""Probability below which a correction takes nothing for surer: about 7 turn a pixel over that has none."""


def one_hot(labels: Int64[Tensor, "b y x"], objects: int) -> Float[Tensor, "b o1 y x"]:
    """Spread labels 0..objects over channels, background first."""
    return F.one_hot(labels, objects + 1).movedim(-1, 1).float()


def aggregate(logits: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o1 y x"]:
    """Make independent object logits compete: background first, channels sum to 1.

    Source:
        Soft aggregation of STM, as in Mask-VOS: background is where no object is; odds are normalised.
    """
    objects = torch.sigmoid(logits.float())
    background = (1 - objects).prod(dim=1, keepdim=True)
    odds = torch.cat([background, objects], dim=1).clamp(_TINY, 1 - _TINY)
    return torch.softmax(torch.logit(odds), dim=1)


def log_aggregate(logits: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o1 y x"]:
    """Return the logarithm of `aggregate`, with gradients that survive saturated logits.

    Uses log p/(1-p) = logit for objects, and for the background log q - log(1-q) with
    log q = -sum softplus(logit), so nothing is clamped until float32 runs out.
    """
    logits = logits.float()
    log_background = -F.softplus(logits).sum(dim=1, keepdim=True)
    # log(1 - exp(v)) for v < 0, in the branch that keeps precision (the switch at log 2 is the usual one).
    near = torch.log(-torch.expm1(log_background.clamp(max=-_TINY)))
    odds = torch.cat([log_background - near, logits], dim=1)
    return torch.log_softmax(odds, dim=1)


def correct(masks: Float[Tensor, "b o1 y x"], corrections: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o1 y x"]:
    """Return log-probabilities of masks whose objects have been made more or less likely.

    Args:
        masks: Probabilities, background first; below 0.001 none is taken for surer.
        corrections: Added to the objects' log-probabilities, before all channels compete.
    """
    return torch.log_softmax(_likely(masks) + _beside_background(corrections), dim=1)


def corrected(masks: Float[Tensor, "b o1 y x"], corrections: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o1 y x"]:
    """Return masks with what corrections change of them: where a pixel has none, it stays exactly as it was.

    Channels sum to 1 within 0.001.
    """
    before = _likely(masks)
    after = before + _beside_background(corrections)
    return (masks + (after.softmax(dim=1) - before.softmax(dim=1))).clamp(0, 1)


def _likely(masks: Tensor) -> Tensor:
    return masks.float().clamp_min(_SURE).log()


def _beside_background(corrections: Tensor) -> Tensor:
    return F.pad(corrections.float(), (0, 0, 0, 0, 1, 0))


def to_cells(masks: Float[Tensor, "b o y x"], stride: int) -> Float[Tensor, "b o h w"]:
    """Average masks over feature cells; sides must be multiples of the stride."""
    return F.avg_pool2d(masks, stride)


def to_pixels(masks: Float[Tensor, "b o h w"], stride: int) -> Float[Tensor, "b o y x"]:
    """Interpolate cell values to pixels, bilinear, cell centres kept."""
    return F.interpolate(masks, scale_factor=stride, mode="bilinear", align_corners=False)


def balanced_cross_entropy(logits: Float[Tensor, "b 1 y x"], mask: Float[Tensor, "b 1 y x"]) -> Float[Tensor, ""]:
    """Score one object's logits so that object and background count alike, whatever their sizes.

    Args:
        logits: Of the object.
        mask: In [0, 1].

    Returns:
        Mean over pixels, in nats: at logits of 0, twice the share of the object times that of the background, log 2
        times; 0 where a picture holds only one of the two.

    Source:
        OSVOS, public code: (N-/N) of the object's loss plus (N+/N) of the background's. Departure: the mean of
        pixels, not their sum; soft pixels count on both sides.
    """
    share = mask.mean(dim=(1, 2, 3), keepdim=True)
    loss = (1 - share) * mask * F.softplus(-logits) + share * (1 - mask) * F.softplus(logits)
    return loss.mean()


def highest_around(maps: Float[Tensor, "o h w"], reach: int) -> Float[Tensor, "o h w"]:
    """Return the highest value within so many rows and columns of each place: a dilation by a square."""
    rows = F.max_pool2d(maps, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return F.max_pool2d(rows, (1, 2 * reach + 1), stride=1, padding=(0, reach))
