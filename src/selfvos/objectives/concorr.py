"""ConCorr: colours rebuilt from one's own clip and from all clips at once shall be the same.

Wang et al. 2021, "Contrastive transformation for self-supervised correspondence learning", arXiv:2012.05057.

From the paper [K]: UVC with intra-video reconstruction, an affinity over the cells of all videos of a batch,
consistency of the two rebuilt frames, and sparsity of that affinity outside the own video. From public code
[X: 594422814/ContrastCorr]: channel dropout in Lab in place of grey (with probability 0.7, of one or two channels,
the same for all pictures of a batch), reconstruction of a frame from itself with every cell kept from looking at
itself, unit weights beside UVC's 0.3 and 0.1, no stop-gradient between the two rebuilt frames. Inferred [I]: a
dropped L becomes 50, a dropped a or b becomes 0, and the picture goes back to sRGB, as the encoder takes RGB (the
code feeds Lab channels as they are, and scales those that are left). All of UVC's inferences hold here too.

The code adds the terms between videos after 100 of 200 epochs. Here that is a setting, no hidden clock: with
`inter_weight` and `sparsity_weight` both 0 and `patches.localise` off it is the first stage, else the second.

It owns: Lab with dropped channels, as RGB, for the encoder; all else as UVC.
"""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.uvc import (
    ColourCodec,
    PatchPair,
    Rebuilt,
    UVCConfig,
    colour_error,
    kept_mean,
    patch_pair,
    rebuild,
    weigh,
)
from selfvos.ops.colour import lab_to_rgb, rgb_to_lab
from selfvos.ops.contrast import similarity
from selfvos.ops.cycles import transport
from selfvos.types import LossTerms


@dataclass(frozen=True, kw_only=True)
class ConCorrConfig(UVCConfig):
    """UVC's settings, and what is added to it."""

    drop_probability: float = 0.7
    """How often one or two of the Lab channels are dropped, in [0, 1]."""
    within_weight: float = 1.0
    """Weight of rebuilding a patch from itself."""
    inter_weight: float = 1.0
    """Weight of rebuilding the target alike from one clip and from all."""
    sparsity_weight: float = 1.0
    """Weight of affinity that goes to other clips."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.drop_probability <= 1:
            raise UsageError(f"drop_probability must be in [0, 1], got {self.drop_probability}")


def draw_kept_channels(generator: torch.Generator, *, drop_probability: float) -> Bool[Tensor, "3"]:
    """Draw which of L, a and b are kept: all, or one or two of them.

    Args:
        generator: On the CPU.
        drop_probability: How often any is dropped.
    """
    unit = torch.rand(2, generator=generator)
    dropped = 0 if unit[0] >= drop_probability else 1 + int(unit[1] >= 0.5)
    return torch.randperm(3, generator=generator) >= dropped


def without_channels(rgb: Float[Tensor, "b 3 y x"], kept: Bool[Tensor, "3"]) -> Float[Tensor, "b 3 y x"]:
    """Return pictures whose dropped Lab channels say nothing: L 50, a and b 0; RGB in [0, 1].

    Args:
        rgb: In [0, 1].
        kept: Which of L, a and b remain.
    """
    if kept.all():
        return rgb
    neutral = rgb.new_tensor([50.0, 0.0, 0.0])[:, None, None]
    return lab_to_rgb(torch.where(kept.to(rgb.device)[:, None, None], rgb_to_lab(rgb), neutral))


def self_affinity(features: Float[Tensor, "b c h w"], *, temperature: float) -> Float[Tensor, "b n n"]:
    """Compare the n cells of a frame with each other, none with itself.

    Args:
        features: As they are; at least 2 cells.
        temperature: Softmax temperature, > 0.

    Returns:
        Weight of each cell in each other cell; columns sum to 1.
    """
    cells = features.flatten(2).mT
    scores = similarity(cells, cells, temperature=temperature)
    itself = torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    return scores.masked_fill(itself, -torch.inf).softmax(dim=1)


def batch_affinity(
    target: Float[Tensor, "b c h w"], reference: Float[Tensor, "b c h2 w2"], *, temperature: float
) -> Float[Tensor, "a q"]:
    """Compare every target cell with the reference cells of all clips.

    Args:
        target: Features of q = b h w cells.
        reference: Features of a = b h2 w2 cells.
        temperature: Softmax temperature over the reference cells, > 0.

    Returns:
        Weight of each reference cell, clip by clip, in each target cell; columns sum to 1.
    """
    rows, columns = (x.flatten(2).mT.flatten(0, 1) for x in (reference, target))
    return similarity(rows, columns, temperature=temperature).softmax(dim=0)


def rebuild_from_all(affinity: Float[Tensor, "a q"], code: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
    """Rebuild every clip's target from the reference codes of all clips.

    Args:
        affinity: From `batch_affinity`, for targets of the references' size.
        code: Of the reference patches.
    """
    batch, _, h, w = code.shape
    cells = code.movedim(1, 0).reshape(1, -1, batch * h, w)  # 1 d (b h) w
    return transport(affinity[None], cells, (batch * h, w))[0].unflatten(1, (batch, h)).movedim(1, 0)


def sparsity_loss(affinity: Float[Tensor, "a q"], clips: int) -> Float[Tensor, ""]:
    """Score how much affinity goes to other clips.

    Args:
        affinity: From `batch_affinity`.
        clips: In the batch.

    Returns:
        Mean distance from 1 of the weight that stays in the own clip, in [0, 1].

    Source:
        Wang et al. 2021, sparsity constraint.
    """
    blocks = affinity.unflatten(0, (clips, -1)).unflatten(-1, (clips, -1))  # b r b m
    own = blocks.diagonal(dim1=0, dim2=2).sum(dim=0)  # m b
    return (own - 1).abs().mean()


@OBJECTIVES.register("concorr")
class ConCorr(Objective):
    """Adds to UVC that colours come from the own clip, even when all clips of the batch could give them.

    Source:
        Wang et al. 2021, arXiv:2012.05057; departures in the module's description.
    """

    Config = ConCorrConfig
    config: ConCorrConfig

    def __init__(self, config: ConCorrConfig) -> None:
        super().__init__(config)
        self.codec = ColourCodec(config.stride, config.colour_channels)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: those of UVC, `within`, `inter` and `sparsity`, before their weights.

        Parts between clips are left out while both their weights are 0: their affinity is the square of the batch.

        Raises:
            UsageError: The clip has fewer than two frames, or the feature does not exist or has another stride.
        """
        config, count = self.config, clip.frames.shape[1]
        if count < 2:
            raise UsageError(f"concorr compares 2 frames, got clips of {count}; train on longer clips")
        kept = draw_kept_channels(generator, drop_probability=config.drop_probability)
        pair = patch_pair(clip, partial(without_channels, kept=kept), generator, config)
        intra = rebuild(pair, self.codec, config)
        parts = intra.parts | {"within": self._from_itself(pair, intra)}
        if config.inter_weight or config.sparsity_weight:
            parts |= self._between_clips(pair, intra)
        return weigh(parts, config)

    def _from_itself(self, pair: PatchPair, intra: Rebuilt) -> Tensor:
        size = (pair.reference.shape[-2], pair.reference.shape[-1])
        affinity = self_affinity(pair.reference, temperature=self.config.temperature)
        rebuilt = self.codec.decode_fixed(transport(affinity, intra.code, size))
        errors = colour_error(rebuilt, pair.reference_lab)
        return kept_mean(errors, errors, drop_above=self.config.drop_above)

    def _between_clips(self, pair: PatchPair, intra: Rebuilt) -> dict[str, Tensor]:
        affinity = batch_affinity(pair.target, pair.reference, temperature=self.config.temperature)
        inter = self.codec.decode_fixed(rebuild_from_all(affinity, intra.code))
        errors = colour_error(inter, intra.target_lab)
        return {
            "inter": kept_mean(errors, errors, drop_above=self.config.drop_above),
            "sparsity": sparsity_loss(affinity, len(intra.code)),
        }
