"""Whitening: every direction in which features vary counts alike when they are compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class WhitenConfig:
    """How features are whitened."""

    shrinkage: float = 0.1
    """Added to the variance along each principal direction, as a share of the mean variance, > 0. Small: all directions
    count alike, also those that hold little but noise. Large: only the mean is taken off."""
    channels: int | None = None
    """Directions of most variance that are kept; the fewer, the faster matching. None: all."""

    def __post_init__(self) -> None:
        if not (self.shrinkage > 0 and math.isfinite(self.shrinkage)):
            raise UsageError(f"shrinkage must be > 0 and finite, got {self.shrinkage}")
        if self.channels is not None and self.channels < 1:
            raise UsageError(f"channels must be at least 1 or None, got {self.channels}")


@dataclass(frozen=True)
class Whitening:
    """What `fit_whitening` learned of one frame's features."""

    mean: Float[Tensor, " c"]
    """Their mean over cells."""
    matrix: Float[Tensor, "c d"]
    """A column for each principal direction, the shorter the more they vary along it."""

    def __call__(self, features: Float[Tensor, "h w c"]) -> Float[Tensor, "h w d"]:
        """Whiten features of any frame, each cell to unit length; a cell at the mean becomes 0."""
        return F.normalize((features - self.mean) @ self.matrix, dim=-1)


class Statistics(NamedTuple):
    """How features vary over the cells of one frame, or of several."""

    mean: Float64[Tensor, " c"]
    covariance: Float64[Tensor, "c c"]


def statistics(features: Float[Tensor, "h w c"]) -> Statistics:
    """Return how features vary over the cells of a frame."""
    cells = features.flatten(0, 1).cpu().double()  # not every device has doubles
    mean = cells.mean(dim=0)
    centred = cells - mean
    return Statistics(mean, centred.mT @ centred / len(cells))


def pooled(first: Statistics, others: Sequence[Statistics], share: float) -> Statistics:
    """Return how features vary over the cells of several frames.

    Args:
        first: Of one frame.
        others: Of others, at least one, which count alike.
        share: What all others count for, in [0, 1]; the first one counts for the rest.
    """
    weights = [1 - share, *[share / len(others)] * len(others)]
    frames = list(zip(weights, (first, *others), strict=True))
    mean = torch.stack([weight * frame.mean for weight, frame in frames]).sum(dim=0)
    covariance = torch.zeros_like(first.covariance)
    for weight, frame in frames:
        off = frame.mean - mean
        covariance += weight * (frame.covariance + off.outer(off))
    return Statistics(mean, covariance)


def whitening(known: Statistics, config: WhitenConfig) -> Whitening:
    """Return how to whiten features that vary in a known way; see `fit_whitening`."""
    variance, directions = torch.linalg.eigh(known.covariance)
    variance, directions = variance.clamp_min(0).flip(0), directions.flip(1)
    relative = variance / variance.mean().clamp_min(torch.finfo(torch.float32).tiny)
    matrix = (directions * (relative + config.shrinkage).rsqrt())[:, : config.channels]
    return Whitening(mean=known.mean.float(), matrix=matrix.float())


def fit_whitening(features: Float[Tensor, "h w c"], config: WhitenConfig) -> Whitening:
    """Learn from one frame how to whiten features.

    Networks that learn without labels spend most of what their features vary on a few directions, and there cosines
    are decided. What sets an object apart from what is beside it may lie in directions of little variance.

    Args:
        features: Of one frame.
        config: How much directions of little variance may count, and how many are kept.

    Returns:
        x -> (x - mean) V (L + shrinkage)^(-1/2), brought to unit length, where V and L are the principal directions and
        the variances along them over the frame's cells, L as a share of their mean.

    Source:
        Whitening of image descriptors for retrieval (Jegou and Chum 2012), with a ridge, and with the statistics of
        the frame that shows the objects in place of a training set's.
    """
    found = whitening(statistics(features), config)
    return Whitening(mean=found.mean.to(features), matrix=found.matrix.to(features))
