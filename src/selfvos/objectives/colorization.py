"""Colorization: a grey frame is coloured by pointing at places in coloured frames before it.

Origin: grey frames, three references, ResNet-18 and a head of five 3-D convolutions to 64 channels, 32x32 cells of
256-pixel frames, 16 colours of a and b, softmax over all cells of all references, cross-entropy and Adam are general
knowledge of the paper [K: Vondrick et al. 2018], of which there is no public code by its authors. The head's layers
are from an unofficial one [X: MaxLing/tracking_by_colorizing]. Inferred [I]: the table of colours
(`selfvos.ops.colour.AB_CENTRES`); a cell has the colour of the pixel it is centred on; which frames of a longer clip
are taken. With no code by its authors, its loss could not be compared with theirs.

It owns: grey input (Lab without a and b), whole frames and no patches, any stride (the recipe's is 8), and a head of
five blocks, 256 channels wide. Tracking shows the encoder frames in colour, which it has not learned from.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.ops.colour import AB_CENTRES, ab_bins, grey, rgb_to_lab
from selfvos.ops.propagation import dense_affinity, propagate
from selfvos.ops.reconstruction import at_cells, label_loss
from selfvos.types import FrameFeatures, LossTerms

_EMBEDDING = 64


@dataclass(frozen=True, kw_only=True)
class ColorizationConfig:
    """How grey frames are coloured."""

    references: int = 3
    """Coloured frames; the one after them is to be coloured."""
    temperature: float = 1.0
    """Softmax temperature of the affinity, > 0."""
    feature: str = "base"
    """What the head works on: ``base``, ``key`` or a stage such as ``layer3``."""
    feature_channels: int = 512
    """Channels of that feature; a training takes what the network has, unless set."""
    head_width: int = 256
    """Channels between the layers of the head."""

    def __post_init__(self) -> None:
        if self.references < 1:
            raise UsageError(f"references must be at least 1, got {self.references}")
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        if min(self.feature_channels, self.head_width) < 1:
            raise UsageError("feature_channels and head_width must be at least 1")


def colorization_loss(
    target: Float[Tensor, "b c h w"],
    references: Float[Tensor, "b n c h w"],
    colours: Int64[Tensor, "b n h w"],
    truth: Int64[Tensor, "b h w"],
    *,
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """Score how well colours that are copied from references by affinity fit the target.

    Args:
        target: Features of the frame to be coloured.
        references: Features of n coloured frames.
        colours: Bin of each of their cells, from `ab_bins`.
        truth: Bin of each cell of the target.
        temperature: Softmax temperature over all cells of all references, > 0.

    Returns:
        Mean negative log-probability of the right bin in nats.

    Source:
        Vondrick et al. 2018, arXiv:1806.09594, eq. 1 and 2.
    """
    with torch.autocast(target.device.type, enabled=False):
        affinity = dense_affinity(target.float().flatten(2), _cells(references.float()), temperature)
    bins = functional.one_hot(colours.flatten(1), len(AB_CENTRES)).to(affinity.dtype)
    guess = propagate(affinity, bins[:, None])[:, 0].mT  # b bins m
    return label_loss(guess.unflatten(-1, truth.shape[-2:]), truth)


def feature_map(features: FrameFeatures, name: str, channels: int) -> Float[Tensor, "b c h w"]:
    """Return the feature that a head with so many input channels was made for.

    Raises:
        UsageError: No such feature, or another number of channels.
    """
    known = {"key": features.key, "base": features.base, **features.stages}
    if name not in known:
        raise UsageError(f"unknown feature {name!r}; this network has {', '.join(known)}")
    found = known[name].shape[1]
    if found != channels:
        raise UsageError(
            f"feature {name!r} has {found} channels, the head takes {channels}; set feature_channels={found}"
        )
    return known[name]


@OBJECTIVES.register("colorization")
class Colorization(Objective):
    """Colours the last frame of a clip with the colours of the frames before it.

    Source:
        Vondrick et al. 2018, arXiv:1806.09594.
    """

    Config = ColorizationConfig
    config: ColorizationConfig

    def __init__(self, config: ColorizationConfig) -> None:
        super().__init__(config)
        self.head = _Head(config.feature_channels, config.head_width)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `colorization`.

        Raises:
            UsageError: Fewer frames than references and target, or a feature that the head does not fit.
        """
        config = self.config
        frames = consecutive_frames(clip.frames, config.references + 1, generator)
        encoded = clip.model.encode_frame(grey(frames).flatten(0, 1))
        features = feature_map(encoded, config.feature, config.feature_channels)
        embedded = self.head(features.unflatten(0, frames.shape[:2]))
        bins = ab_bins(at_cells(rgb_to_lab(frames), frames.shape[-1] // features.shape[-1]))
        loss = colorization_loss(
            embedded[:, -1], embedded[:, :-1], bins[:, :-1], bins[:, -1], temperature=config.temperature
        )
        return LossTerms(loss, {"colorization": loss.detach()})


def consecutive_frames(
    frames: Float[Tensor, "b t 3 y x"], count: int, generator: torch.Generator
) -> Float[Tensor, "b n 3 y x"]:
    """Take `count` successive frames of each clip, from a start drawn for each clip.

    Raises:
        UsageError: The clips have fewer frames.
    """
    batch, length = frames.shape[:2]
    if length < count:
        raise UsageError(f"{count} frames are compared, got clips of {length}; train on longer clips")
    start = torch.randint(length - count + 1, (batch, 1), generator=generator)
    places = (start + torch.arange(count)).to(frames.device)
    return frames[torch.arange(batch, device=frames.device)[:, None], places]


class _Head(nn.Module):
    """Five blocks that see ever wider and across frames, and a projection."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(_Block(inputs if dilation == 1 else width, width, dilation) for dilation in (1, 2, 4, 8, 16))
        )
        self.project = nn.Conv2d(width, _EMBEDDING, 1)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t d h w"]:
        seen = self.blocks(x)
        return self.project(seen.flatten(0, 1)).unflatten(0, x.shape[:2])


class _Block(nn.Module):
    """A 3-D convolution in two steps: over space, then over time."""

    def __init__(self, inputs: int, width: int, dilation: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(inputs, width, 3, padding=dilation, dilation=dilation)
        self.time = nn.Conv2d(width, width, (3, 1), padding=(1, 0))
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t d h w"]:
        y = self.space(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        y = self.time(y.transpose(1, 2).flatten(3))  # b d t (h w)
        return torch.relu(self.norm(y)).transpose(1, 2).unflatten(3, x.shape[-2:])


def _cells(references: Tensor) -> Tensor:
    return references.transpose(1, 2).flatten(2)  # b c (n h w)
