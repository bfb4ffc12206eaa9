"""Video frame similarity: two frames of one video are two views of the same thing, and nothing else is asked.

What is owned here: every frame is cropped and mirrored on its own and resized; frames stay RGB with their colours
unchanged; a projector and a predictor of its own work on the spatial mean of the encoder's base feature.

Origin: frames as SimSiam views, and no change of colour for correspondence, are the paper's [P/K: Xu, Wang 2021];
224-pixel crops of an area from 0.2, two groups of four frames and all pairs between them (ResNet-18) or two single
frames (ResNet-50), three and two layers with batch norm and their widths are from the public code [X: xvjiarui/VFS,
configurations `nc`]. Inferred [I]: crops keep the frame's aspect, with the side, not the area, drawn evenly; groups are
drawn at random from the clip. The encoder keeps its stride while learning (the code learns at stride 32 and unfolds
the network at test), and a ResNet-50's 2048 channels reach the head as the 512 of its base feature.
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.crw import require_width
from selfvos.ops.warp import TransformConfig, sample_transform, warp
from selfvos.types import LossTerms, SegmenterLike

_VIEW_PX = 224
"""Side of a view; that of the frame where it is smaller."""


@dataclass(frozen=True, kw_only=True)
class VFSConfig:
    """How views are made and what compares them."""

    group_frames: int = 4
    """Frames in each of the two groups; fewer where clips have less than twice as many."""
    view: TransformConfig = field(default_factory=lambda: TransformConfig(min_scale=math.sqrt(0.2)))
    """How each frame is cropped and mirrored."""
    feature_channels: int = 512
    """Channels of the encoder's base feature; a training takes what the network has, unless set."""
    projection_channels: int = 512
    """Channels of the projector's layers."""
    predictor_channels: int = 128
    """Channels between the predictor's two layers."""

    def __post_init__(self) -> None:
        sizes = (self.group_frames, self.projection_channels, self.predictor_channels)
        if min(*sizes, self.feature_channels) < 1:
            raise UsageError("group_frames and all numbers of channels must be >= 1")


def view_loss(predictions: Float[Tensor, "b g c"], targets: Float[Tensor, "b h c"]) -> Float[Tensor, ""]:
    """Score how well every prediction of a video points the way of every target of the same video.

    Args:
        predictions: What the predictor says of one group of frames.
        targets: Projections of the other group; they receive no gradient.

    Returns:
        Mean negative cosine over all pairs: -1 when all agree, 0 when they have nothing in common.

    Source:
        Chen, He 2021, arXiv:2011.10566, eq. 1 (SimSiam); Xu, Wang 2021. The public VFS code minimises 2 + 2 times it.
    """
    left, right = functional.normalize(predictions, dim=-1), functional.normalize(targets.detach(), dim=-1)
    return -(left @ right.mT).mean()


@OBJECTIVES.register("vfs")
class VFS(Objective):
    """Pulls the embeddings of a video's frames together, each predicted from the others.

    Source:
        Xu, Wang 2021 (ICCV), video frame-level similarity. Departures: see the module.
    """

    Config = VFSConfig

    def __init__(self, config: VFSConfig) -> None:
        super().__init__(config)
        width, narrow = config.projection_channels, config.predictor_channels
        self.projector = nn.Sequential(
            *_layer(config.feature_channels, width),
            *_layer(width, width),
            *_layer(width, width)[:-1],
        )
        self.predictor = nn.Sequential(*_layer(width, narrow), nn.Linear(narrow, width))

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `similarity`.

        Raises:
            UsageError: The clip has fewer than two frames, the batch has a single frame in each group, or the
                features have another width than the settings say.
        """
        batch, count = clip.frames.shape[:2]
        if count < 2:
            raise UsageError(f"vfs compares at least 2 frames, got clips of {count}; train on longer clips")
        size = min(self.config.group_frames, count // 2)
        if batch * size < 2:
            raise UsageError("vfs normalises over a batch: one clip of 2 or 3 frames is too little; use batch_clips=2")
        order = torch.randperm(count, generator=generator)
        first, second = (self._embed(clip, order[i * size : (i + 1) * size], generator) for i in range(2))
        loss = (view_loss(self._predict(first), second) + view_loss(self._predict(second), first)) / 2
        return LossTerms(loss, {"similarity": loss.detach()})

    def _embed(self, clip: EncodedClip, group: Tensor, generator: torch.Generator) -> Float[Tensor, "b g c"]:
        frames = clip.frames[:, group.to(clip.frames.device)]
        views = make_views(frames.flatten(0, 1), _VIEW_PX, self.config.view, generator)
        pooled = pooled_base(clip.model, views, self.config.feature_channels)
        return self.projector(pooled).float().unflatten(0, frames.shape[:2])

    def _predict(self, projections: Float[Tensor, "b g c"]) -> Float[Tensor, "b g c"]:
        return self.predictor(projections.flatten(0, 1)).float().unflatten(0, projections.shape[:2])


def make_views(
    images: Float[Tensor, "m 3 y x"], side_px: int, config: TransformConfig, generator: torch.Generator
) -> Float[Tensor, "m 3 p p"]:
    """Cut a square view out of each image on its own, no larger than the image's shorter side."""
    side = min(side_px, *images.shape[-2:])
    return warp(images, sample_transform(len(images), generator, config), size=(side, side))


def pooled_base(model: SegmenterLike, images: Float[Tensor, "m 3 y x"], channels: int) -> Float[Tensor, "m c"]:
    """Encode images and average their base feature over all cells.

    Raises:
        UsageError: The feature has not that many channels.
    """
    return require_width(model.encode_frame(images).base, channels).mean(dim=(2, 3))


def _layer(inputs: int, outputs: int) -> list[nn.Module]:
    # Running statistics would never be used, and scoring a clip must leave no trace.
    norm = nn.BatchNorm1d(outputs, track_running_stats=False)
    return [nn.Linear(inputs, outputs), norm, nn.ReLU()]
