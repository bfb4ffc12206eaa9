"""Contrastive random walk: a walker sent through the frames of a clip and back comes home to its patch.

What is owned here: frames stay RGB, as the encoder takes them. Nodes are 64-pixel patches every 32 pixels, each
jittered on its own, encoded one by one at the encoder's stride and averaged; a linear head of its own makes 128
channels of unit length.

Origin: walks, palindromes, edge dropout and node patches are the paper's [P: Jabri et al. 2020]; patch size, step,
jitter, head, temperature 0.05, dropout 0.1 and walks of two frames and more are from the public code
[X: ajabri/videowalk]. Inferred [I]: the jitter keeps the patch's aspect; edges back are closed independently of the
edges there; colours are normalised as the encoder does it; borders are padded as the encoder pads them (the code
reflects); whole frames are not cropped one by one as the code's data loader does. In the code an edge that is closed on
the way there is closed on the way back as well; the loss is the same on average. Nodes made of feature cells are an
extra: they cost one pass of the frame, but every cell knows its place from the padded border, and a walker can come
home by place alone (Tang et al. 2021, arXiv:2105.05838). Use them where time is short, not to compare with the paper.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.ops.walks import cut_patches, palindrome_loss, there_and_back
from selfvos.ops.warp import TransformConfig, sample_transform, warp
from selfvos.types import LossTerms


@dataclass(frozen=True, kw_only=True)
class NodesConfig:
    """What the nodes of a walk are made of, and how walkers choose between them."""

    nodes: Literal["patches", "cells"] = "patches"
    """Patches of pixels, or cells of the frame's feature map: cheap, but open to the shortcut of absolute places."""
    patch_px: int = 64
    """Side of a patch; smaller in frames with a side below twice that."""
    step_px: int = 32
    """From one patch to the next."""
    jitter: TransformConfig = field(
        default_factory=lambda: TransformConfig(
            min_scale=math.sqrt(0.7), max_scale=math.sqrt(0.9), flip_probability=0.0
        )
    )
    """What part of each patch is seen, resized to its full side."""
    cells_per_side: int = 8
    """Most rows and columns of nodes that the feature map is averaged to where nodes are cells."""
    feature_channels: int = 512
    """Channels of the encoder's base feature; a training takes what the network has, unless set."""
    node_channels: int = 128
    """Channels of a node."""
    temperature: float = 0.05
    """Softmax temperature of transitions, > 0."""
    edge_dropout: float = 0.1
    """How often an edge between two nodes is closed, in [0, 1)."""

    def __post_init__(self) -> None:
        if self.nodes not in ("patches", "cells"):
            raise UsageError(f"nodes must be 'patches' or 'cells', got {self.nodes!r}")
        if min(self.patch_px, self.step_px, self.feature_channels, self.node_channels) < 1:
            raise UsageError("patch_px, step_px, feature_channels and node_channels must be >= 1")
        if self.cells_per_side < 2:
            raise UsageError(f"cells_per_side must be >= 2, got {self.cells_per_side}")
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        if not 0 <= self.edge_dropout < 1:
            raise UsageError(f"edge_dropout must be in [0, 1), got {self.edge_dropout}")


@dataclass(frozen=True, kw_only=True)
class CRWConfig(NodesConfig):
    """Nodes of the contrastive random walk."""


class Nodes(NamedTuple):
    """The nodes of all frames, row by row."""

    features: Float[Tensor, "b t n c"]
    """Unit length."""
    rows: int
    """Rows of nodes in a frame."""
    columns: int
    """Columns of nodes in a frame."""


class NodeEncoder(nn.Module):
    """Turns the frames of a clip into nodes, with a linear head of its own."""

    def __init__(self, config: NodesConfig) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Linear(config.feature_channels, config.node_channels)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> Nodes:
        """Encode all frames.

        Raises:
            UsageError: The frames are too small, or the features have another width than the settings say.
        """
        grid = self._patches(clip, generator) if self.config.nodes == "patches" else self._cells(clip)
        features = functional.normalize(self.head(grid).float(), dim=-1)
        return Nodes(features.flatten(2, 3), rows=grid.shape[2], columns=grid.shape[3])

    def _patches(self, clip: EncodedClip, generator: torch.Generator) -> Float[Tensor, "b t rows columns c"]:
        patches = cut_patches(clip.frames, patch_px=self.config.patch_px, step_px=self.config.step_px)
        flat = patches.flatten(0, 3)
        seen = warp(flat, sample_transform(len(flat), generator, self.config.jitter))
        base = require_width(clip.model.encode_frame(seen).base, self.config.feature_channels)
        return base.mean(dim=(2, 3)).unflatten(0, patches.shape[:4])

    def _cells(self, clip: EncodedClip) -> Float[Tensor, "b t rows columns c"]:
        frames = [clip.features(t).base for t in range(clip.frames.shape[1])]
        base = require_width(torch.stack(frames, dim=1), self.config.feature_channels)
        rows, columns = (min(side, self.config.cells_per_side) for side in base.shape[-2:])
        if min(rows, columns) < 2:
            raise UsageError(f"{rows}x{columns} feature cells are too few to walk between; use larger crops")
        pooled = functional.adaptive_avg_pool2d(base.flatten(0, 1), (rows, columns))
        return pooled.unflatten(0, base.shape[:2]).movedim(2, -1)


def require_width(features: Float[Tensor, "*batch c h w"], channels: int) -> Float[Tensor, "*batch c h w"]:
    """Return the features as they are.

    Raises:
        UsageError: They have another number of channels than the head that follows was made for.
    """
    width = features.shape[-3]
    if width != channels:
        raise UsageError(f"the head takes {channels} channels, the network gives {width}; set feature_channels={width}")
    return features


def cycle_loss(
    nodes: Float[Tensor, "b t n c"], *, temperature: float, edge_dropout: float, generator: torch.Generator
) -> Float[Tensor, ""]:
    """Score how surely walkers sent from the first frame into later ones and back return to their starts.

    Args:
        nodes: Unit-length features of n nodes in each of t >= 2 frames.
        temperature: Softmax temperature, unitless, > 0; smaller is sharper.
        edge_dropout: How often an edge is closed, in [0, 1).
        generator: On the CPU; decides which edges are closed.

    Returns:
        Mean negative log-probability in nats: 0 when all come home, log n when all are lost.

    Raises:
        UsageError: Fewer than two frames.

    Source:
        Jabri et al. 2020, arXiv:2006.14613, cycle-consistency with sub-cycles and edge dropout, in log space.
    """
    if nodes.shape[1] < 2:
        raise UsageError(f"a walk needs at least 2 frames, got clips of {nodes.shape[1]}; train on longer clips")
    there, back = there_and_back(nodes, temperature=temperature, edge_dropout=edge_dropout, generator=generator)
    return palindrome_loss(there, back)


@OBJECTIVES.register("crw")
class CRW(Objective):
    """Sends walkers from patch to patch through the clip and back, and asks them to come home.

    Source:
        Jabri et al. 2020, arXiv:2006.14613; released settings. Departures: see the module.
    """

    Config = CRWConfig

    def __init__(self, config: CRWConfig) -> None:
        super().__init__(config)
        self.nodes = NodeEncoder(config)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `cycle`.

        Raises:
            UsageError: The clip has fewer than two frames, its frames are too small for 2x2 nodes, or the
                features have another width than the settings say.
        """
        config: CRWConfig = self.config
        loss = cycle_loss(
            self.nodes(clip, generator).features,
            temperature=config.temperature,
            edge_dropout=config.edge_dropout,
            generator=generator,
        )
        return LossTerms(loss, {"cycle": loss.detach()})
