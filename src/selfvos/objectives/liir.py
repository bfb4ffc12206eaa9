"""LIIR: MAST with other videos as distractors, places that the features know of, and compact matches.

Origin: cells of other videos compete in the affinity and carry no colour, learned position embeddings are re-indexed at
random for other videos, matches are drawn towards two compact peaks: general knowledge of the paper [K: Li et al.
2022]. All MAST's numbers, a second head of 128 channels and stride 2 with its term weighted 0.5, position embeddings
that start at zero, and the two-peak Gaussian one cell wide where the best match is above 0.5 are an unofficial code's,
which lacks the re-indexing [X: shasha521/LIIR_pytorch]. Inferred [I]: how positions are re-indexed, and how many cells
of each other video compete.

Departures from both beside MAST's: the other clips of the batch stand in for a queue of other videos, so there is no
momentum head either, and they do receive gradient (without it they drew all affinity to themselves: trained on one
batch of four clips, the second head's loss rose from 0.54 to 0.65 in 64 steps, and fell to 0.08 with it); the position
embedding is added before the heads instead of after the stem, which belongs to the encoder, and is therefore gone
when tracking; a cell carries the colour of the pixel that it is centred on, where the code brings colours to the size
of the cells by interpolation. Places of a window that lie off the map have no share, as with MAST.

It owns: Lab input with a channel taken out, whole frames and no patches, any stride (the paper's is 4), two
convolutions (64 channels; 128 channels at twice the stride), the position embedding.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.colorization import feature_map
from selfvos.objectives.mast import EMBEDDING, check_odds, draw_pair, take_channel
from selfvos.ops.contrast import similarity
from selfvos.ops.reconstruction import at_cells, photometric_loss, propagate_window, window_affinity, window_scores
from selfvos.types import LossTerms

_REGION_EMBEDDING = 128


@dataclass(frozen=True, kw_only=True)
class LIIRConfig:
    """How a missing colour channel is rebuilt in spite of distractors."""

    gap_odds: tuple[float, ...] = (0.4, 0.4, 0.2)
    """How often the second, third ... frame of a clip is rebuilt; the first is always what it is rebuilt from."""
    radius_px: int = 24
    """How far a colour may come from to each side; rounded down to whole feature cells."""
    temperature: float = 1.0
    """Softmax temperature of the affinity, > 0."""
    inter_weight: float = 0.5
    """Weight of rebuilding among other videos' cells, at twice the stride."""
    compact_weight: float = 1.0
    """Weight of the pull towards compact matches."""
    other_cells: int = 256
    """Cells of each other clip that compete; all where it has fewer."""
    position_cells: int = 64
    """Rows and columns of the position embedding; brought to the feature's size."""
    feature: str = "base"
    """What the heads work on: ``base``, ``key`` or a stage such as ``layer3``."""
    feature_channels: int = 512
    """Channels of that feature; a training takes what the network has, unless set."""

    def __post_init__(self) -> None:
        check_odds(self.gap_odds)
        if min(self.other_cells, self.position_cells, self.feature_channels) < 1 or self.radius_px < 0:
            raise UsageError(
                "liir needs other_cells, position_cells and feature_channels of at least 1 and radius_px >= 0"
            )
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")


def other_videos(
    target: Float[Tensor, "b c h w"], strangers: Float[Tensor, "b p c"], *, temperature: float = 1.0
) -> Float[Tensor, "b h w"] | None:
    """Return how strongly each cell is drawn to cells of other videos, for `window_affinity`.

    Args:
        target: Features of one frame of each video.
        strangers: Features of p cells of each video.
        temperature: Divides the dot products, unitless, > 0.

    Returns:
        Logarithm of the summed exponentials over all strangers but those of the own video; None where there is no
        other. Takes b h w b p numbers on the way.

    Source:
        LIIR, arXiv:2203.14333, inter-video reconstruction: the denominator of the affinity.
    """
    batch, _, h, w = target.shape
    if batch == 1:
        return None
    scores = similarity(target.flatten(2).mT, strangers.flatten(0, 1), temperature=temperature)  # b (h w) (b p)
    own = torch.eye(batch, dtype=torch.bool, device=target.device).repeat_interleave(strangers.shape[1], dim=1)
    return scores.masked_fill(own[:, None], -torch.inf).logsumexp(dim=-1).unflatten(-1, (h, w))


def compactness_loss(affinity: Float[Tensor, "b k h w"]) -> Float[Tensor, ""]:
    """Score how far each window's affinity is from two narrow peaks around its own two best cells.

    Args:
        affinity: From `window_affinity`.

    Returns:
        Smooth L1 of 20 times both, mean over all windows and cells; windows whose best cell has 0.5 or less count 0.
        The peaks themselves receive no gradient.

    Source:
        LIIR, arXiv:2203.14333, compactness prior, as in the unofficial code: Gaussians of full width 1 cell at half
        maximum, of height softmax of the two best values. Departure: places off the map have no share.
    """
    side = math.isqrt(affinity.shape[1])
    best, places = affinity.detach().topk(2, dim=1)  # b 2 h w
    axis = torch.arange(side, device=affinity.device)[:, None, None]
    down = _bell(axis - (places // side)[:, :, None])  # b 2 side h w
    across = _bell(axis - (places % side)[:, :, None])
    peaks = (best.softmax(dim=1)[:, :, None] * down)[:, :, :, None] * across[:, :, None]
    sure = 20 * (best[:, :1] > 0.5)
    return functional.smooth_l1_loss(sure * affinity, sure * peaks.sum(dim=1).flatten(1, 2))


def shuffle_places(
    position: Float[Tensor, "1 c h w"], batch: int, generator: torch.Generator
) -> Float[Tensor, "b c h w"]:
    """Give every cell the position embedding of another one, drawn anew for each clip."""
    cells = position.shape[-2] * position.shape[-1]
    order = torch.rand(batch, cells, generator=generator).argsort(dim=1).to(position.device)
    return position[0].flatten(1)[:, order].transpose(0, 1).unflatten(-1, position.shape[-2:])


@OBJECTIVES.register("liir")
class LIIR(Objective):
    """Rebuilds a colour channel of a later frame from the first frame of a clip, among cells of other clips.

    Source:
        Li et al. 2022, arXiv:2203.14333.
    """

    Config = LIIRConfig
    config: LIIRConfig

    def __init__(self, config: LIIRConfig) -> None:
        super().__init__(config)
        channels, cells = config.feature_channels, config.position_cells
        self.pixel_head = nn.Conv2d(channels, EMBEDDING, 3, padding=1)
        self.region_head = nn.Conv2d(channels, _REGION_EMBEDDING, 3, stride=2, padding=1)
        self.position = nn.Parameter(torch.zeros(1, channels, cells, cells))

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `photo`, and `inter` and `compact` before their weights.

        Raises:
            UsageError: Fewer frames than there are odds for, or a feature that the heads do not fit.
        """
        config = self.config
        frames, colour = take_channel(draw_pair(clip.frames, config.gap_odds, generator), generator)
        encoded = clip.model.encode_frame(frames.flatten(0, 1))
        features = feature_map(encoded, config.feature, config.feature_channels).float()
        position = functional.interpolate(self.position, size=features.shape[-2:], mode="bicubic")
        stride = frames.shape[-1] // features.shape[-1]
        placed = features + position

        affinity, rebuilt = self._rebuild(self.pixel_head(placed), colour, stride)
        photo = photometric_loss(rebuilt, colour[:, 1])
        strangers = self._strangers(features[::2], position, generator)
        _, rebuilt = self._rebuild(self.region_head(placed), colour, 2 * stride, strangers)
        inter = photometric_loss(rebuilt, at_cells(colour[:, 1], 2 * stride))
        compact = compactness_loss(affinity)
        total = photo + config.inter_weight * inter + config.compact_weight * compact
        return LossTerms(total, {"photo": photo.detach(), "inter": inter.detach(), "compact": compact.detach()})

    def _rebuild(
        self, embedded: Tensor, colour: Tensor, stride: int, strangers: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the affinity to each clip's first frame, and the second as rebuilt from it."""
        temperature, radius = self.config.temperature, self.config.radius_px // stride
        reference, target = embedded.unflatten(0, (-1, 2)).unbind(dim=1)
        scores = window_scores(target, reference, radius_cells=radius, temperature=temperature)
        others = None if strangers is None else other_videos(target, strangers, temperature=temperature)
        affinity = window_affinity(scores, others)
        return affinity, propagate_window(affinity, at_cells(colour[:, 0], stride))

    def _strangers(self, features: Tensor, position: Tensor, generator: torch.Generator) -> Tensor:
        """Draw cells of each clip's first frame, in places that say nothing."""
        shuffled = features + shuffle_places(position, len(features), generator)
        cells = self.region_head(shuffled).flatten(2).mT  # b m c
        drawn = torch.rand(cells.shape[:2], generator=generator).argsort(dim=1)[:, : self.config.other_cells]
        return cells.gather(1, drawn[..., None].expand(-1, -1, cells.shape[-1]).to(cells.device))


def _bell(distance: Tensor) -> Tensor:
    return torch.exp(-4 * math.log(2) * distance.float() ** 2)
