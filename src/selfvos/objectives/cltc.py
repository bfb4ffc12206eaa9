"""Contrast between mined pixels: confident matches attract, negatives grow harder as matching gets surer.

What is owned here: nothing is learned besides the encoder; frames stay RGB, the encoder's keys are compared at its
own stride, over all cells of two frames of a clip.

Origin: pixel-level InfoNCE whose positives are judged by pixel-, region- and video-level confidence and whose
negatives follow a curriculum aware of how well matching works are the paper's, from its abstract and general
knowledge of it [P/K: Jeon et al. 2021]; no code was found [X]. Inferred [I], as no threshold is known: a positive is
the mutual best match; pixel confidence is one minus the ratio of second best to best probability; region confidence
is the share of the 3x3 surrounding that moves alike; video confidence is the share of mutual matches in the clip; the
three are multiplied into a weight instead of compared with thresholds; negatives are a band of similarity ranks in
the same reference frame, which moves from the easiest to the hardest with the video confidence; the two frames are
any two of the clip. Without code by its authors, its loss could not be compared with theirs.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.ops.contrast import similarity
from selfvos.types import LossTerms

_LEAST_CELLS = 4


@dataclass(frozen=True, kw_only=True)
class CLTCConfig:
    """How matches are weighted and which negatives they meet."""

    temperature: float = 0.05
    """Softmax temperature of confidence and contrast, > 0."""
    too_hard: float = 0.02
    """Share of the most similar negatives that is never used: most likely the same thing as the match."""
    band: float = 0.5
    """Share of the negatives that is used at a time."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        if not (0 <= self.too_hard < 1 and 0 < self.band <= 1 - self.too_hard):
            raise UsageError(
                f"too_hard must be in [0, 1) and band in (0, 1 - too_hard], got {self.too_hard} and {self.band}"
            )


class Confidence(NamedTuple):
    """How far the best matches of a clip can be trusted; no part has a gradient."""

    cells: Float[Tensor, "b m"]
    """Weight of each cell's best match, in [0, 1]; 0 where it is not mutual."""
    video: Float[Tensor, "b"]
    """Share of mutual matches, in [0, 1]."""


def match_confidence(scores: Float[Tensor, "b m n"], sides: tuple[int, int]) -> Confidence:
    """Judge each cell's best match at the level of the pixel, of its surrounding and of the video.

    Args:
        scores: Similarity of each cell of a frame to each cell of the reference frame, over the temperature.
        sides: Rows and columns of both frames' cells, row by row.
    """
    scores = scores.detach()
    best, back = scores.argmax(dim=2), scores.argmax(dim=1)
    mutual = back.gather(1, best) == torch.arange(scores.shape[1], device=scores.device)
    first, second = scores.topk(2, dim=2).values.unbind(dim=2)
    pixel = 1 - (second - first).exp()
    video = mutual.float().mean(dim=1)
    return Confidence(mutual * pixel * region_support(best, sides) * video[:, None], video)


def region_support(best: Int64[Tensor, "b m"], sides: tuple[int, int]) -> Float[Tensor, "b m"]:
    """Return which share of each cell's 3x3 surrounding, itself included, moves as it does, give or take a cell.

    Args:
        best: Cell of the reference frame that each cell matches.
        sides: Rows and columns of both frames' cells, row by row.
    """
    own = torch.arange(best.shape[1], device=best.device)
    motion = torch.stack([best // sides[1] - own // sides[1], best % sides[1] - own % sides[1]], dim=1).float()
    # Outside the frame is infinitely far from every motion: it never agrees, and does not count.
    padded = functional.pad(motion.unflatten(2, sides), (1, 1, 1, 1), value=math.inf)
    around = functional.unfold(padded, 3).unflatten(1, (2, 9))  # b 2 9 m
    agrees = (around - motion[:, :, None]).abs().amax(dim=1) <= 1
    exists = around[:, 0].isfinite()
    return agrees.sum(dim=1) / exists.sum(dim=1)


def negative_band(video: Float[Tensor, "b"], cells: int, *, too_hard: float, band: float) -> Bool[Tensor, "b n"]:
    """Choose which ranks of similarity are negatives: the easiest at confidence 0, the hardest at 1.

    Args:
        video: Video confidence of each clip, in [0, 1].
        cells: Cells of the reference frame; the best of them is the positive.
        too_hard: Share of the hardest negatives that is left out at every confidence.
        band: Share of the negatives that is chosen; at least one.

    Returns:
        For each clip, which ranks count; rank 0 is the positive and never does.
    """
    negatives = cells - 1
    width = max(1, int(band * negatives))
    hardest = min(math.ceil(too_hard * negatives), negatives - width)
    start = hardest + ((1 - video) * (negatives - width - hardest)).round()
    rank = torch.arange(cells, device=video.device) - 1
    return (rank >= start[:, None]) & (rank < start[:, None] + width)


def mined_loss(
    scores: Float[Tensor, "b m n"], weights: Float[Tensor, "b m"], band: Bool[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """Score how surely each cell tells its best match from its negatives.

    Args:
        scores: Similarity of each cell to each cell of the reference frame, over the temperature.
        weights: How much each cell counts.
        band: Which ranks of similarity are negatives, from `negative_band`.

    Returns:
        Weighted mean in nats, at least 0, at most log(1 + negatives); 0 where nothing counts.

    Source:
        Jeon et al. 2021, InfoNCE over mined samples. The positive is the best match, hence always of rank 0.
    """
    ranked = scores.sort(dim=2, descending=True).values
    positive = ranked[:, :, 0]
    negative = ranked.masked_fill(~band[:, None], -torch.inf).logsumexp(dim=2)
    losses = functional.softplus(negative - positive)
    return (weights * losses).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)


@OBJECTIVES.register("cltc")
class CLTC(Objective):
    """Contrasts two frames cell by cell, with weighted matches for positives and a moving band of negatives.

    Source:
        Jeon et al. 2021 (CVPR), mining better samples for contrastive learning of temporal correspondence. What is
        inferred: see the module.
    """

    Config = CLTCConfig

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `contrast`.

        Raises:
            UsageError: The clip has fewer than two frames, or fewer than four feature cells.
        """
        count = clip.frames.shape[1]
        if count < 2:
            raise UsageError(f"cltc compares 2 frames, got clips of {count}; train on longer clips")
        config: CLTCConfig = self.config
        frame, reference = torch.randperm(count, generator=generator)[:2].tolist()
        sides = clip.key(frame).shape[-2], clip.key(frame).shape[-1]
        if math.prod(sides) < _LEAST_CELLS:
            raise UsageError(f"{sides[0]}x{sides[1]} feature cells are too few to mine; use larger crops")
        scores = similarity(_cells(clip.key(frame)), _cells(clip.key(reference)), temperature=config.temperature)
        confidence = match_confidence(scores, sides)
        band = negative_band(confidence.video, scores.shape[2], too_hard=config.too_hard, band=config.band)
        loss = mined_loss(scores, confidence.cells, band)
        return LossTerms(loss, {"contrast": loss.detach()})


def _cells(features: Tensor) -> Tensor:
    return features.flatten(2).mT  # b m c
