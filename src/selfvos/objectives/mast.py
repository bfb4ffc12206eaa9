"""MAST: one colour channel is taken out of a pair of frames and rebuilt in the later from the earlier.

Origin: Lab, one of a and b taken out of the input and rebuilt, pairs 2, 5 or 8 frames apart in 0.4, 0.4 and 0.2 of the
cases, 3x3 convolution to 64 channels at stride 4, dot products without temperature within a window of 24 pixels to
each side, 20 x smooth L1 at full size and Adam at 1e-3 are the public code's [X: zlai0/MAST]. Inferred [I]: channel
and distance are drawn for each clip rather than each batch and video.

Departures: the encoder takes RGB, so the picture without its channel is converted back and clipped to what sRGB has,
which says nothing of the channel that was taken; the rest is not scaled by 3/2, as that leaves [0, 1]; places of a
window that lie off the map have no share, as the paper has it, where the released code lets them score 0 and take one.

It owns: Lab input with a channel taken out, whole frames and no patches, any stride (the paper's is 4), the
convolution to 64 channels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.colorization import feature_map
from selfvos.ops.colour import lab_to_rgb, rgb_to_lab
from selfvos.ops.reconstruction import at_cells, photometric_loss, propagate_window, window_affinity, window_scores
from selfvos.types import LossTerms

EMBEDDING = 64
"""Channels that pixels are compared in."""


@dataclass(frozen=True, kw_only=True)
class MASTConfig:
    """How a missing colour channel is rebuilt."""

    gap_odds: tuple[float, ...] = (0.4, 0.4, 0.2)
    """How often the second, third ... frame of a clip is rebuilt; the first is always what it is rebuilt from."""
    radius_px: int = 24
    """How far a colour may come from to each side; rounded down to whole feature cells."""
    temperature: float = 1.0
    """Softmax temperature of the affinity, > 0."""
    feature: str = "base"
    """What the head works on: ``base``, ``key`` or a stage such as ``layer3``."""
    feature_channels: int = 512
    """Channels of that feature; a training takes what the network has, unless set."""

    def __post_init__(self) -> None:
        check_odds(self.gap_odds)
        if self.radius_px < 0 or self.feature_channels < 1:
            raise UsageError("mast needs radius_px >= 0 and feature_channels >= 1")
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")


def mast_loss(
    target: Float[Tensor, "b c h w"],
    reference: Float[Tensor, "b c h w"],
    reference_colour: Float[Tensor, "b v y x"],
    target_colour: Float[Tensor, "b v y x"],
    *,
    radius_px: int,
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """Score the colour of one frame as rebuilt from another.

    Args:
        target: Features of the frame that is rebuilt.
        reference: Features of the frame that it is rebuilt from.
        reference_colour: Colour channels of the reference's pixels, in about [-1, 1].
        target_colour: The same of the target.
        radius_px: How far a colour may come from to each side.
        temperature: Softmax temperature of the affinity, > 0.

    Returns:
        20 x smooth L1, mean over pixels; 0 for a perfect copy.

    Source:
        Lai et al. 2020, arXiv:2002.07793, as in the released code, with one reference. Departure: places off the map
        have no share.
    """
    stride = target_colour.shape[-1] // target.shape[-1]
    scores = window_scores(target, reference, radius_cells=radius_px // stride, temperature=temperature)
    rebuilt = propagate_window(window_affinity(scores), at_cells(reference_colour, stride))
    return photometric_loss(rebuilt, target_colour)


def draw_pair(
    frames: Float[Tensor, "b t 3 y x"], gap_odds: tuple[float, ...], generator: torch.Generator
) -> Float[Tensor, "b 2 3 y x"]:
    """Take the first frame of each clip and a later one, drawn by its odds.

    Raises:
        UsageError: The clips have fewer frames than there are odds for.
    """
    batch, count = frames.shape[:2]
    if count <= len(gap_odds):
        raise UsageError(
            f"pairs are drawn from {len(gap_odds) + 1} frames, got clips of {count}; train on longer clips "
            "or give fewer gap_odds"
        )
    later = 1 + torch.tensor(gap_odds).multinomial(batch, replacement=True, generator=generator)
    return torch.stack([frames[:, 0], frames[torch.arange(batch), later.to(frames.device)]], dim=1)


def take_channel(
    frames: Float[Tensor, "b n 3 y x"], generator: torch.Generator
) -> tuple[Float[Tensor, "b n 3 y x"], Float[Tensor, "b n 1 y x"]]:
    """Take either a or b out of all frames of a clip.

    Args:
        frames: RGB in [0, 1].
        generator: On the CPU.

    Returns:
        RGB in [0, 1] of what is left, and the channel that was taken, over 127.
    """
    lab = rgb_to_lab(frames)
    taken = torch.randint(1, 3, (len(frames), 1, 1, 1, 1), generator=generator).to(frames.device)
    channel = lab.gather(2, taken.expand(-1, lab.shape[1], -1, *lab.shape[-2:]))
    left = torch.arange(3, device=frames.device)[:, None, None] != taken
    return lab_to_rgb(lab * left), channel / 127


def check_odds(gap_odds: tuple[float, ...]) -> None:
    """Raise a `UsageError` unless there are odds and they can be drawn by."""
    if not gap_odds or min(gap_odds) < 0 or sum(gap_odds) <= 0:
        raise UsageError(f"gap_odds must be at least 0 and not all 0, got {gap_odds}")


@OBJECTIVES.register("mast")
class MAST(Objective):
    """Rebuilds a colour channel of a later frame from the first frame of a clip.

    Source:
        Lai, Lu and Xie 2020, arXiv:2002.07793.
    """

    Config = MASTConfig
    config: MASTConfig

    def __init__(self, config: MASTConfig) -> None:
        super().__init__(config)
        self.head = nn.Conv2d(config.feature_channels, EMBEDDING, 3, padding=1)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `photo`.

        Raises:
            UsageError: Fewer frames than there are odds for, or a feature that the head does not fit.
        """
        config = self.config
        frames, colour = take_channel(draw_pair(clip.frames, config.gap_odds, generator), generator)
        encoded = clip.model.encode_frame(frames.flatten(0, 1))
        embedded = self.head(feature_map(encoded, config.feature, config.feature_channels))
        reference, target = embedded.unflatten(0, (-1, 2)).unbind(dim=1)
        loss = mast_loss(
            target,
            reference,
            colour[:, 0],
            colour[:, 1],
            radius_px=config.radius_px,
            temperature=config.temperature,
        )
        return LossTerms(loss, {"photo": loss.detach()})
