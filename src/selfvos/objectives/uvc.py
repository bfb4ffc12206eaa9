"""UVC: a patch is found in another frame, and the frames' colours follow the affinity that found it.

Li et al. 2019, "Joint-task self-supervised learning for temporal correspondence", arXiv:1909.11895.

From the paper [K]: grey input, a colour auto-encoder between whose two halves the affinity works, localisation by the
mean of expected positions, concentration and orthogonality. From public code [X: Liusifei/UVC]: Lab as
(L / 50 - 1, a / 128, b / 128), channel weights (1, 10, 10), samples above 2.5 left out, dot products of raw features
at temperature 1, patches of 256 pixels in frames of 640 and turned by at most 10 degrees, windows of 8x8 cells,
weights 0.3 and 0.1; the code's cycle of coordinates is off in its own published run and left out. Inferred [I]:
the auto-encoder, pre-trained on images and frozen there, is trained here on the patches themselves by a part of the
loss of its own (``codec``), with one convolution per level; nothing else teaches it. Samples above 2.5 are left out
from the first step on, not from the second epoch on. The pair of frames is drawn anew for every batch. The encoder
sees lightness as a grey sRGB picture.

Departure: a box that reaches over an edge of the frame is moved inside and keeps its size; the code's boxes shrink at
the right and the lower edge.

Two stages there, one setting here: with `PatchConfig.localise` off it is the first (two random patches), with it on
the second. While features say nothing, the expected position is the middle of the frame, and so the second begins
much like the first.

It owns: grey pictures for the encoder, Lab for the colours; any stride, which the auto-encoder has to share
(`stride`); the patches; the auto-encoder.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.ops.colour import grey, rgb_to_lab
from selfvos.ops.cycles import (
    affine_matrix,
    cell_positions,
    cut,
    expected_positions,
    feature_map,
    frame_affinity,
    random_boxes,
    transport,
)
from selfvos.types import LossTerms

_ENCODER_PX = 8
"""Sides that every encoder takes are multiples of this."""


@dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """Which parts of two frames are compared."""

    share: float = 0.4
    """Side of a patch relative to the frame's, in (0, 1]; rounded to whole feature cells."""
    max_angle_degrees: float = 10.0
    """Largest rotation of a patch that is cut anywhere."""
    localise: bool = True
    """Whether the target patch is where the reference patch is found; else it is cut anywhere."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"share must be in (0, 1], got {self.share}")


@dataclass(frozen=True, kw_only=True)
class UVCConfig:
    """How patches are matched and what their colours cost."""

    feature: str = "base"
    """What is learned: ``base``, ``key``, or a stage such as ``layer4``."""
    temperature: float = 1.0
    """Softmax temperature of the affinity of raw features, > 0."""
    stride: int = 8
    """Pixels per cell of the feature and of the auto-encoder's code; a power of two."""
    colour_channels: int = 256
    """Channels of the auto-encoder's code, a multiple of the stride."""
    patches: PatchConfig = field(default_factory=PatchConfig)
    """Which parts of two frames are compared."""
    window_cells: int = 8
    """Side of the blocks of cells that shall stay together; a smaller patch is one block."""
    drop_above: float = 2.5
    """Clips whose colour error is larger do not count; 0 counts all."""
    reverse_weight: float = 0.1
    """Weight of the colours rebuilt by the transposed affinity."""
    concentration_weight: float = 0.3
    """Weight of the spread of blocks."""
    codec_weight: float = 1.0
    """Weight of what the auto-encoder itself loses."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        if self.stride < 2 or self.stride.bit_count() != 1:
            raise UsageError(f"stride must be a power of two from 2 on, got {self.stride}")
        if self.colour_channels < 1 or self.colour_channels % self.stride:
            raise UsageError(f"colour_channels must be a multiple of the stride, got {self.colour_channels}")
        if self.window_cells < 1:
            raise UsageError(f"window_cells must be >= 1, got {self.window_cells}")


class PatchPair(NamedTuple):
    """Two patches of each clip, as features and as colours."""

    reference: Float[Tensor, "b c h w"]
    target: Float[Tensor, "b c h w"]
    reference_lab: Float[Tensor, "b 3 y x"]
    """As `scaled_lab` gives it, like the target's."""
    target_lab: Float[Tensor, "b 3 y x"]


class Rebuilt(NamedTuple):
    """What came out of rebuilding the target patch."""

    parts: dict[str, Float[Tensor, ""]]
    """Losses before their weights, with gradient."""
    code: Float[Tensor, "b d h w"]
    """The reference patch as the auto-encoder codes it, without gradient."""
    target_lab: Float[Tensor, "b 3 y x"]
    """The rebuilt colours."""


def scaled_lab(rgb: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
    """Return Lab with L from -1 to 1 and a, b over 128, from RGB in [0, 1]."""
    lightness, a, b = rgb_to_lab(rgb).unbind(dim=1)
    return torch.stack([lightness / 50 - 1, a / 128, b / 128], dim=1)


def colour_error(rebuilt: Float[Tensor, "b 3 y x"], truth: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b"]:
    """Return each picture's mean error |L| + 10 |a| + 10 |b| in scaled Lab."""
    return ((rebuilt - truth).abs().mean(dim=(2, 3)) * truth.new_tensor([1.0, 10.0, 10.0])).sum(dim=1)


def kept_mean(errors: Float[Tensor, "b"], judged: Float[Tensor, "b"], *, drop_above: float) -> Float[Tensor, ""]:
    """Average errors, those of samples judged above a limit being set to 0.

    Args:
        errors: What is averaged.
        judged: What is compared with the limit.
        drop_above: The limit; 0 keeps all.
    """
    return (errors.where(judged <= drop_above, 0) if drop_above else errors).mean()


def locate_box(affinity: Float[Tensor, "b r m"], size: tuple[int, int], *, scale: float) -> Float[Tensor, "b 2 3"]:
    """Return the box of one size around the mean of where a patch's cells are expected.

    Args:
        affinity: Weight of each of the frame's r cells in each of the patch's m cells.
        size: Rows and columns of the frame.
        scale: Side of the box relative to the frame's; the box is kept inside.

    Source:
        Li et al. 2019, region-level localisation, with a box of fixed size as in the public code.
    """
    centre = expected_positions(affinity, cell_positions(*size, like=affinity)).mean(dim=1)
    return affine_matrix(centre.clamp(scale - 1, 1 - scale), torch.zeros_like(centre[:, 0]), scale)


def concentration_loss(positions: Float[Tensor, "b 2 h w"], *, window_cells: int) -> Float[Tensor, ""]:
    """Score how far apart the cells of each block end up.

    Args:
        positions: Where each cell of a frame is expected in another.
        window_cells: Side of a block; blocks do not overlap, and rows and columns left over do not count.

    Returns:
        Variance of the positions within a block, mean over blocks, x and y: 0 when each block ends up in one point.
        Moving all cells alike costs as much as leaving them where they are.

    Source:
        Li et al. 2019, concentration regularisation, as in the public code (the paper truncates it).
    """
    blocks = functional.unfold(positions, window_cells, stride=window_cells).unflatten(1, (2, -1))
    return blocks.var(dim=2, correction=0).mean()


class ColourCodec(nn.Module):
    """A small auto-encoder of Lab pictures whose code has one cell for each feature cell.

    Source:
        Li et al. 2019; levels and widths as in the public code, one 3x3 convolution each instead of two.
    """

    def __init__(self, stride: int, channels: int) -> None:
        super().__init__()
        levels = stride.bit_length() - 1
        widths = [channels >> (levels - 1 - level) for level in range(levels)]
        self.encoder = nn.Sequential()
        for inputs, outputs in pairwise([3, *widths]):
            self.encoder.extend([nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)])
        self.encoder.extend([nn.Conv2d(channels, channels, 1), nn.ReLU()])
        self.decoder = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU())
        for inputs, outputs in pairwise([*reversed(widths), widths[0]]):
            self.decoder.extend([nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()])
        self.decoder.extend([nn.Conv2d(widths[0], 3, 3, padding=1), nn.Tanh()])

    def encode(self, lab: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b d h w"]:
        """Code pictures in scaled Lab."""
        return self.encoder(lab).float()

    def decode(self, code: Float[Tensor, "b d h w"]) -> Float[Tensor, "b 3 y x"]:
        """Return the picture of a code, and teach the decoder."""
        return self.decoder(code).float()

    def decode_fixed(self, code: Float[Tensor, "b d h w"]) -> Float[Tensor, "b 3 y x"]:
        """Return the picture of a code; the gradient reaches the code, not the decoder."""
        weights = {name: weight.detach() for name, weight in self.decoder.named_parameters()}
        return functional_call(self.decoder, weights, (code,)).float()


def patch_pair(
    clip: EncodedClip, look: Callable[[Tensor], Tensor], generator: torch.Generator, config: UVCConfig
) -> PatchPair:
    """Draw two frames and cut a patch out of each.

    Args:
        clip: At least 2 square frames, and the network.
        look: Turns RGB in [0, 1] into what the encoder is shown, RGB in [0, 1] as well.
        generator: On the CPU.
        config: Which feature, and how patches are cut.

    Raises:
        UsageError: The network has no such feature, or it has another stride.
    """
    first, second = torch.randperm(clip.frames.shape[1], generator=generator)[:2].tolist()
    side, stride, patches = clip.frames.shape[-1], config.stride, config.patches
    grid = max(stride, _ENCODER_PX)
    cells = max(1, round(patches.share * side / grid)) * grid // stride
    scale, pixels = cells * stride / side, (cells * stride, cells * stride)

    def encode(rgb: Tensor) -> Tensor:
        return _require_stride(feature_map(clip.model.encode_frame(look(rgb)), config.feature), rgb, stride)

    def anywhere() -> Tensor:
        angle = patches.max_angle_degrees
        return random_boxes(len(clip.frames), scale, max_angle_degrees=angle, generator=generator)

    reference_rgb = cut(clip.frames[:, first], anywhere(), pixels)
    reference = encode(reference_rgb)
    if patches.localise:
        whole = encode(clip.frames[:, second])
        affinity = frame_affinity(reference, whole, temperature=config.temperature)
        box = locate_box(affinity, (whole.shape[-2], whole.shape[-1]), scale=scale)
        target, target_rgb = cut(whole, box, (cells, cells)), cut(clip.frames[:, second], box, pixels)
    else:
        target_rgb = cut(clip.frames[:, second], anywhere(), pixels)
        target = encode(target_rgb)
    return PatchPair(reference, target, scaled_lab(reference_rgb), scaled_lab(target_rgb))


def rebuild(pair: PatchPair, codec: ColourCodec, config: UVCConfig) -> Rebuilt:
    """Rebuild the target patch's colours from the reference patch's, and the other way round.

    Returns:
        Parts `colour`, `reverse`, `concentration` and `codec`, with the rebuilt target.

    Source:
        Li et al. 2019, colour reconstruction, orthogonality of the affinity (its transpose leads back) and
        concentration in both directions.
    """
    size = (pair.target.shape[-2], pair.target.shape[-1])
    affinity = frame_affinity(pair.target, pair.reference, temperature=config.temperature)
    back = frame_affinity(pair.reference, pair.target, temperature=config.temperature)
    lab = torch.cat([pair.reference_lab, pair.target_lab]).detach()
    code = codec.encode(lab)
    reference_code, target_code = code.detach().chunk(2)
    target_lab = codec.decode_fixed(transport(affinity, reference_code, size))
    reference_lab = codec.decode_fixed(transport(affinity.mT, target_code, size))
    colour, reverse = colour_error(target_lab, pair.target_lab), colour_error(reference_lab, pair.reference_lab)
    judged = colour + config.reverse_weight * reverse
    cells = cell_positions(*size, like=affinity)
    window = min(config.window_cells, *size)
    concentration = torch.stack(
        [
            concentration_loss(expected_positions(way, cells).mT.unflatten(-1, size), window_cells=window)
            for way in (affinity, back)
        ]
    ).sum()
    parts = {
        "colour": kept_mean(colour, judged, drop_above=config.drop_above),
        "reverse": kept_mean(reverse, judged, drop_above=config.drop_above),
        "concentration": concentration,
        "codec": colour_error(codec.decode(code), lab).mean(),
    }
    return Rebuilt(parts, reference_code, target_lab)


def weigh(parts: Mapping[str, Float[Tensor, ""]], config: UVCConfig) -> LossTerms:
    """Add up parts, each times the setting that bears its name with ``_weight``, or once without one."""
    weighted = [getattr(config, f"{name}_weight", 1.0) * part for name, part in parts.items()]
    return LossTerms(torch.stack(weighted).sum(), {name: part.detach() for name, part in parts.items()})


@OBJECTIVES.register("uvc")
class UVC(Objective):
    """Finds a patch in another frame and rebuilds the colours there, in grey.

    Source:
        Li et al. 2019, arXiv:1909.11895; departures in the module's description.
    """

    Config = UVCConfig
    config: UVCConfig

    def __init__(self, config: UVCConfig) -> None:
        super().__init__(config)
        self.codec = ColourCodec(config.stride, config.colour_channels)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `colour`, `reverse`, `concentration` and `codec`, before their weights.

        Raises:
            UsageError: The clip has fewer than two frames, or the feature does not exist or has another stride.
        """
        count = clip.frames.shape[1]
        if count < 2:
            raise UsageError(f"uvc compares 2 frames, got clips of {count}; train on longer clips")
        pair = patch_pair(clip, grey, generator, self.config)
        return weigh(rebuild(pair, self.codec, self.config).parts, self.config)


def _require_stride(features: Tensor, rgb: Tensor, stride: int) -> Tensor:
    found = rgb.shape[-1] // features.shape[-1]
    if found != stride:
        raise UsageError(f"the feature has {found} pixels per cell, the auto-encoder {stride}; set stride={found}")
    return features
