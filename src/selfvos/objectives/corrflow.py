"""CorrFlow: colours travel along a chain of frames, and there and back again.

Origin: three frames, 3x3 convolution to 64 channels, a window of 24 pixels to each side, 16 colours of a and b, one or
two RGB channels taken out of the input in 7 of 10 clips, colour jitter of 0.1 in 1 of 10, scheduled sampling from 0.9
to 0.6 over the run, short loss + 0.1 long loss and Adam at 2e-4 are the public code's [X: zlai0/CorrFlow]. Inferred
[I]: the table of colours (`selfvos.ops.colour.AB_CENTRES`), jitter in Lab, draws for each clip rather than each batch.

Departures: channels that stay are not scaled by 3 / (3 - n), as that leaves [0, 1]; a cell carries the colour of the
pixel that it is centred on, where the released code mixes the numbers of bins, and its test program those of objects;
rebuilt colours stay at the feature's size along the chain, and are enlarged only to be scored, where the released code
enlarges them after each link and shrinks them again for the next, which blurs them.

It owns: RGB input with channels taken out, whole frames and no patches, any stride (the paper's is 4), the
convolution to 64 channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.colorization import consecutive_frames, feature_map
from selfvos.ops.colour import AB_CENTRES, ab_bins, jitter, rgb_to_lab
from selfvos.ops.reconstruction import at_cells, label_loss, propagate_window, window_affinity, window_scores
from selfvos.types import LossTerms, SegmenterLike

_EMBEDDING = 64
_JITTER_STRENGTH = 0.1
_TRUTH_START = 0.9


@dataclass(frozen=True, kw_only=True)
class CorrFlowConfig:
    """How colours are passed along a chain of frames."""

    frames: int = 3
    """Frames of the chain."""
    radius_px: int = 24
    """How far a colour may come from to each side; rounded down to whole feature cells."""
    temperature: float = 1.0
    """Softmax temperature of the affinity, > 0."""
    long_weight: float = 0.1
    """Weight of the ways there and back."""
    drop_probability: float = 0.7
    """How often a clip loses one or two of its three input channels, in [0, 1]."""
    jitter_probability: float = 0.1
    """How often the input's colours are changed at random, in [0, 1]."""
    truth_end: float = 0.6
    """How often a link of the chain starts from real instead of rebuilt colours at the end; it begins at 0.9."""
    anneal_steps: int = 210_000
    """Steps from the start to the end; the paper's run is as long."""
    feature: str = "base"
    """What the head works on: ``base``, ``key`` or a stage such as ``layer3``."""
    feature_channels: int = 512
    """Channels of that feature; a training takes what the network has, unless set."""

    def __post_init__(self) -> None:
        if self.frames < 2 or self.radius_px < 0 or self.anneal_steps < 1 or self.feature_channels < 1:
            raise UsageError("corrflow needs frames >= 2, radius_px >= 0, anneal_steps >= 1 and feature_channels >= 1")
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        for name in ("drop_probability", "jitter_probability", "truth_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be in [0, 1], got {getattr(self, name)}")


def chain_affinities(
    features: Float[Tensor, "b t c h w"], *, radius_cells: int, temperature: float = 1.0
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the affinities (b k h w) of each link of a chain: from frame i to i + 1, and from i + 1 to i."""

    def affinity(target: Tensor, reference: Tensor) -> Tensor:
        return window_affinity(window_scores(target, reference, radius_cells=radius_cells, temperature=temperature))

    links = list(pairwise(features.unbind(dim=1)))
    return [affinity(after, before) for before, after in links], [affinity(before, after) for before, after in links]


def short_loss(
    onward: Sequence[Tensor],
    colours: Float[Tensor, "b t v h w"],
    labels: Int64[Tensor, "b t y x"],
    truth: Bool[Tensor, "b s"],
) -> Float[Tensor, ""]:
    """Score colours that are passed on from frame to frame.

    Args:
        onward: Affinity from each frame to the next, s = t - 1 of b k h w.
        colours: Real colours as the cells carry them.
        labels: Real colours of the pixels, as bins.
        truth: Which links start from real colours; the others from what the link before rebuilt. The first always
            starts from real ones.

    Returns:
        Sum over links of the mean negative log-probability in nats.

    Source:
        CorrFlow, arXiv:1905.00875, scheduled sampling as in the released code.
    """
    guess = colours[:, 0]
    losses = []
    for i, affinity in enumerate(onward):
        start = torch.where(truth[:, i, None, None, None], colours[:, i], guess) if i else guess
        guess = propagate_window(affinity, start)
        losses.append(label_loss(guess, labels[:, i + 1]))
    return torch.stack(losses).sum()


def long_loss(
    onward: Sequence[Tensor],
    back: Sequence[Tensor],
    colours: Float[Tensor, "b v h w"],
    labels: Int64[Tensor, "b y x"],
) -> Float[Tensor, ""]:
    """Score colours that are sent k frames on and back to where they came from, for every k.

    Args:
        onward: Affinity from each frame to the next, b k h w.
        back: Affinity from each frame to the one before.
        colours: Real colours of the first frame, as its cells carry them.
        labels: Real colours of the first frame's pixels, as bins.

    Returns:
        Sum over k of the mean negative log-probability in nats.

    Source:
        CorrFlow, arXiv:1905.00875, long-term cycle as in the released code.
    """
    there = colours
    losses = []
    for k, affinity in enumerate(onward):
        there = propagate_window(affinity, there)
        home = there
        for link in reversed(back[: k + 1]):
            home = propagate_window(link, home)
        losses.append(label_loss(home, labels))
    return torch.stack(losses).sum()


def draw_kept(batch: int, probability: float, generator: torch.Generator) -> Float[Tensor, "b 3"]:
    """Draw which of three channels each clip keeps: 1, or 0 for one or two of them with that probability."""
    rank = torch.rand(batch, 3, generator=generator).argsort(dim=1)
    lost = torch.randint(1, 3, (batch, 1), generator=generator)
    chosen = torch.rand(batch, 1, generator=generator) < probability
    return (rank >= lost * chosen).float()


@OBJECTIVES.register("corrflow")
class CorrFlow(Objective):
    """Passes the first frame's colours along a clip, and there and back.

    Source:
        Lai and Xie 2019, arXiv:1905.00875.
    """

    Config = CorrFlowConfig
    config: CorrFlowConfig
    steps: Int64[Tensor, ""]

    def __init__(self, config: CorrFlowConfig) -> None:
        super().__init__(config)
        self.head = nn.Conv2d(config.feature_channels, _EMBEDDING, 3, padding=1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def after_step(self, model: SegmenterLike) -> None:  # noqa: ARG002
        """Count the step: real colours become rarer."""
        self.steps += 1

    @property
    def truth_probability(self) -> float:
        """How often a link starts from real colours by now."""
        done = min(1.0, int(self.steps) / self.config.anneal_steps)
        return _TRUTH_START + (self.config.truth_end - _TRUTH_START) * done

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `short`, and `long` before its weight.

        Raises:
            UsageError: Fewer frames than the chain, or a feature that the head does not fit.
        """
        config = self.config
        frames = consecutive_frames(clip.frames, config.frames, generator)
        batch, count = frames.shape[:2]
        encoded = clip.model.encode_frame(self._disturb(frames, generator).flatten(0, 1))
        features = feature_map(encoded, config.feature, config.feature_channels)
        stride = frames.shape[-1] // features.shape[-1]
        onward, back = chain_affinities(
            self.head(features).unflatten(0, (batch, count)),
            radius_cells=config.radius_px // stride,
            temperature=config.temperature,
        )
        labels = ab_bins(rgb_to_lab(frames))
        colours = functional.one_hot(at_cells(labels, stride), len(AB_CENTRES)).movedim(-1, 2).float()
        truth = torch.rand(batch, count - 1, generator=generator) < self.truth_probability
        short = short_loss(onward, colours, labels, truth.to(frames.device))
        long = long_loss(onward, back, colours[:, 0], labels[:, 0])
        return LossTerms(short + config.long_weight * long, {"short": short.detach(), "long": long.detach()})

    def _disturb(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Take channels away and change colours, so that what is copied cannot simply be looked up."""
        batch = len(frames)
        chosen = (torch.rand(batch, generator=generator) < self.config.jitter_probability).nonzero()[:, 0]
        chosen = chosen.to(frames.device)
        jittered = jitter(frames[chosen].flatten(0, 1), _JITTER_STRENGTH, generator)
        frames = frames.index_copy(0, chosen, jittered.view_as(frames[chosen]))
        kept = draw_kept(batch, self.config.drop_probability, generator).to(frames.device)
        return frames * kept[:, None, :, None, None]
