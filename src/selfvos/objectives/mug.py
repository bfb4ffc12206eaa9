"""MuG: one network learns from single frames, from neighbours, from distant frames, and from whole videos.

Lu et al. 2020, "Learning video object segmentation from unlabeled videos", arXiv:2003.05020.

From the paper [K]: four granularities (a foreground map per frame, a patch tracked forth and back between
neighbours, matching of distant frames in any order with geometric consistency, telling videos apart by a global
feature) and their weights 1, 0.1, 0.02 and 0.5. From public code [X: carrierlxk/MuG]: cross-entropy with the map cut
at 0.2 plus L1 with the map itself. Inferred [I], as no code of the other three is public: the foreground map, a
saliency network's there, is border-contrast saliency of mean Lab colours here, which takes no label of any kind; what
is tracked between neighbours are 3x3 means of features at grid points, by expected positions; distant frames are
aligned by the affine motion that fits all matches best in the sense of weighted least squares, in place of a learned
regressor, and scored by the affinity along it; videos are told apart within a batch, not within the whole set.

It owns: plain RGB frames, shared with other objectives; features of any stride with `feature_channels` channels; a
head for the foreground map and one for the global feature.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.crw import require_width
from selfvos.ops.colour import rgb_to_lab
from selfvos.ops.contrast import gather_points, grid_points, info_nce, similarity
from selfvos.ops.cycles import cell_positions, expected_positions, feature_map, frame_affinity, move, weight_at
from selfvos.types import LossTerms

_FOREGROUND = 0.2
_GLOBAL_CHANNELS = 128
"""Channels of a video's global feature."""


@dataclass(frozen=True, kw_only=True)
class MuGConfig:
    """What is compared at each granularity and what it counts."""

    feature: str = "base"
    """What is learned: ``base``, ``key``, or a stage such as ``layer4``."""
    feature_channels: int = 512
    """Channels of that feature; a training takes what the network has, unless set."""
    temperature: float = 0.05
    """Softmax temperature of all comparisons of unit-length features, > 0."""
    points_per_side: int = 8
    """Rows and columns of the grid of positions tracked between neighbours."""
    frame_weight: float = 1.0
    """Weight of the foreground map."""
    short_weight: float = 0.1
    """Weight of tracking forth and back between neighbours."""
    long_weight: float = 0.02
    """Weight of matching distant frames."""
    video_weight: float = 0.5
    """Weight of telling videos apart."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        if min(self.feature_channels, self.points_per_side) < 1:
            raise UsageError("feature_channels and points_per_side must be >= 1")


def border_saliency(lab: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b h w"]:
    """Tell how much each cell's colour stands out from the borders of its frame.

    Args:
        lab: Mean colour of each cell.

    Returns:
        In [0, 1]; each frame's least is 0 and its largest 1, or 0 everywhere where all colours are alike.

    Source:
        Inferred: that borders show background is the common ground of unsupervised saliency. Distance from the mean
        colour of each of the four sides over its largest value, summed, the largest of the four left out, as one
        side may cut through the object.
    """
    sides = [lab[:, :, :1], lab[:, :, -1:], lab[..., :1], lab[..., -1:]]
    means = torch.stack([side.mean(dim=(2, 3)) for side in sides], dim=1)  # b 4 3
    far = (lab[:, None] - means[..., None, None]).norm(dim=2)  # b 4 h w
    far = far / far.amax(dim=(2, 3), keepdim=True).clamp_min(1e-6)
    contrast = far.sum(dim=1) - far.amax(dim=1)
    least, most = (extreme(contrast, dim=(1, 2), keepdim=True) for extreme in (torch.amin, torch.amax))
    return (contrast - least) / (most - least).clamp_min(1e-6)


def frame_loss(logits: Float[Tensor, "b h w"], saliency: Float[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Score a foreground map.

    Args:
        logits: The network's.
        saliency: In [0, 1]; above 0.2 is foreground.

    Returns:
        Mean cross-entropy in nats plus mean distance of probability and saliency.

    Source:
        Lu et al. 2020, frame granularity; threshold from the public code, which takes L1 between logits.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, (saliency > _FOREGROUND).to(logits))
    return entropy + functional.l1_loss(logits.sigmoid(), saliency)


def short_loss(
    frame: Float[Tensor, "b c h w"],
    neighbour: Float[Tensor, "b c h w"],
    points: Int64[Tensor, "b p 2"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Track positions into the neighbour and back, and score how far from their start they end up.

    Args:
        frame: Unit-length features.
        neighbour: Unit-length features of the next frame.
        points: Row and column of the cells to start from.
        temperature: Softmax temperature over the cells of a frame, > 0.

    Returns:
        Mean squared distance in half sides of the frame; 0 when all come back.

    Source:
        Lu et al. 2020, short-term granularity, with expected positions in place of the largest response.
    """
    h, w = frame.shape[-2:]
    cells = cell_positions(h, w, like=frame)
    start = gather_points(cells.mT.unflatten(-1, (h, w)).expand(len(frame), -1, -1, -1), points)
    there = _track(gather_points(frame, points), neighbour, temperature)
    found = functional.grid_sample(neighbour.float(), there[:, :, None], align_corners=False)[..., 0].mT
    back = _track(functional.normalize(found, dim=-1), frame, temperature)
    return (back - start).square().sum(dim=-1).mean()


def fit_affine(
    source: Float[Tensor, "n 2"], target: Float[Tensor, "b n 2"], weight: Float[Tensor, "b n"]
) -> Float[Tensor, "b 2 3"]:
    """Return the affine motions that move positions closest to where they were found.

    Args:
        source: At least 3 positions that are not in one line.
        target: Where each was found.
        weight: How much each counts, > 0.

    Source:
        Weighted least squares.
    """
    with torch.autocast(target.device.type, enabled=False):
        known = torch.cat([source, torch.ones_like(source[:, :1])], dim=1)  # n 3
        weighted = (known * weight[..., None]).mT  # b 3 n
        return torch.linalg.solve(weighted @ known, weighted @ target).mT


def long_loss(affinity: Float[Tensor, "b r m"], size: tuple[int, int]) -> Float[Tensor, ""]:
    """Score how much affinity of two frames follows one common motion.

    Args:
        affinity: Weight of each of one frame's r cells in each of the other's m cells; columns sum to 1.
        size: Rows and columns of both frames, at least 2 each.

    Returns:
        Minus the mean weight along the motion that fits best: -1 when all matches follow it exactly, near 0 when
        they follow none. The motion itself is taken as given.

    Source:
        Lu et al. 2020, long-term granularity.
    """
    cells = cell_positions(*size, like=affinity)
    with torch.no_grad():
        motion = fit_affine(cells, expected_positions(affinity, cells), affinity.amax(dim=1).float())
    return -weight_at(affinity, move(motion, cells), size).mean()


@OBJECTIVES.register("mug")
class MuG(Objective):
    """Learns from one of the first two frames, the other, a later one, and the other videos of the batch.

    Source:
        Lu et al. 2020, arXiv:2003.05020; departures in the module's description.
    """

    Config = MuGConfig
    config: MuGConfig

    def __init__(self, config: MuGConfig) -> None:
        super().__init__(config)
        self.foreground = nn.Sequential(
            nn.Conv2d(config.feature_channels, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 1, 1)
        )
        self.whole = nn.Linear(config.feature_channels, _GLOBAL_CHANNELS)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `frame`, `short`, `long` and `video`, before their weights.

        Raises:
            UsageError: The clip has fewer than two frames or fewer feature cells than the grid, or the feature does
                not exist or has another number of channels.
        """
        config, count = self.config, clip.frames.shape[1]
        if count < 2:
            raise UsageError(f"mug compares at least 2 frames, got clips of {count}; train on longer clips")
        place, next_place = torch.randperm(2, generator=generator).tolist()
        distant = int(torch.randint(2, count, (), generator=generator)) if count > 2 else next_place
        frame, neighbour, far = (self._features(clip, t) for t in (place, next_place, distant))
        size = (frame.shape[-2], frame.shape[-1])
        points = grid_points(len(frame), config.points_per_side, *size, generator)
        unit, unit_neighbour, unit_far = (functional.normalize(x, dim=1) for x in (frame, neighbour, far))
        parts = {
            "frame": self._frame(clip, place, frame),
            "short": short_loss(_smooth(unit), _smooth(unit_neighbour), points, temperature=config.temperature),
            "long": long_loss(frame_affinity(unit, unit_far, temperature=config.temperature), size),
            "video": info_nce(self._whole(frame), self._whole(far), temperature=config.temperature),
        }
        total = (
            config.frame_weight * parts["frame"]
            + config.short_weight * parts["short"]
            + config.long_weight * parts["long"]
            + config.video_weight * parts["video"]
        )
        return LossTerms(total, {name: part.detach() for name, part in parts.items()})

    def _features(self, clip: EncodedClip, t: int) -> Tensor:
        return require_width(feature_map(clip.features(t), self.config.feature), self.config.feature_channels)

    def _frame(self, clip: EncodedClip, t: int, features: Tensor) -> Tensor:
        size = (features.shape[-2], features.shape[-1])
        colours = functional.adaptive_avg_pool2d(rgb_to_lab(clip.frames[:, t]), size)
        return frame_loss(self.foreground(features)[:, 0].float(), border_saliency(colours))

    def _whole(self, features: Tensor) -> Tensor:
        return functional.normalize(self.whole(features.mean(dim=(2, 3))).float(), dim=-1)[:, None]


def _smooth(features: Tensor) -> Tensor:
    mean = functional.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)
    return functional.normalize(mean, dim=1)


def _track(query: Tensor, frame: Tensor, temperature: float) -> Tensor:
    """Return where features b p c are expected in a frame b c h w: positions b p 2."""
    affinity = similarity(query, frame.flatten(2).mT, temperature=temperature).softmax(dim=-1)
    return expected_positions(affinity.mT, cell_positions(frame.shape[-2], frame.shape[-1], like=frame))
