"""Self-cycle consistency: every pair of frames is linked, every round trip of two steps has to close.

What is owned here: colours, patches and the node head are those of `crw`.

Origin: the graph of CRW made complete over time, a regularisation that each two-step cycle is the identity, a mixture
of paths of different lengths from one frame to another, and a contrast that rejects nodes of other videos are the
paper's, from general knowledge of it [K: Son 2022]; no code was found [X]. Inferred [I]: the mixture takes each
earlier frame for the last stop equally often; the long cycle goes there and back by such mixtures; the self-cycle is
cross-entropy with the identity, averaged over pairs rather than summed, so that its weight does not depend on the
number of frames; the contrast is the probability of a step staying in its own video; both weights. Without code by
its authors, its loss could not be compared with theirs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.crw import NodeEncoder, NodesConfig
from selfvos.ops.contrast import similarity
from selfvos.ops.walks import come_home, follow, home_loss, transition
from selfvos.types import LossTerms

Steps = Mapping[tuple[int, int], Tensor]
"""Log-transitions (b n n) by (frame from, frame to)."""


@dataclass(frozen=True, kw_only=True)
class SCRConfig(NodesConfig):
    """Nodes of the complete graph, and what its terms count."""

    self_cycle_weight: float = 1.0
    """Weight of the two-step cycles."""
    domain_weight: float = 0.1
    """Weight of the contrast with other videos; clips of one batch are taken for different videos."""


def complete_graph(
    nodes: Float[Tensor, "b t n c"], *, temperature: float, edge_dropout: float, generator: torch.Generator
) -> dict[tuple[int, int], Tensor]:
    """Return the log-transitions between all ordered pairs of different frames; see `walks.transition`."""
    frames = nodes.unbind(dim=1)
    pairs = [(s, t) for s in range(len(frames)) for t in range(len(frames)) if s != t]
    return {
        (s, t): transition(
            frames[s], frames[t], temperature=temperature, edge_dropout=edge_dropout, generator=generator
        )
        for s, t in pairs
    }


def mixed_paths_loss(steps: Steps) -> Float[Tensor, ""]:
    """Score how surely walkers come home who reach each frame by all paths at once, and return by all paths.

    Args:
        steps: All transitions of a complete graph over frames 0 to t >= 1.

    Returns:
        Mean over frames 1 to t, in nats: 0 when all come home, log n when all are lost.

    Source:
        Son 2022, mixture of sequential Bayesian filters: the posterior of frame t is the mean over its last stop
        r < t of the posterior of r, carried on by one step.
    """
    count = 1 + max(t for _, t in steps)
    out, home, losses = {1: steps[0, 1]}, {1: steps[1, 0]}, []
    for t in range(1, count):
        if t > 1:
            out[t] = _blend([steps[0, t], *(follow(out[r], steps[r, t]) for r in range(1, t))])
            home[t] = _blend([steps[t, 0], *(follow(steps[t, r], home[r]) for r in range(1, t))])
        losses.append(home_loss(come_home(out[t], home[t])))
    return torch.stack(losses).mean()


def self_cycle_loss(steps: Steps) -> Float[Tensor, ""]:
    """Score how surely walkers come home who step into another frame and straight back.

    Returns:
        Mean over all pairs of frames in nats: 0 when all come home, log n when all are lost.

    Source:
        Son 2022, self-cycle consistency, as cross-entropy with the identity.
    """
    pairs = [(s, t) for s, t in steps if s < t]
    return torch.stack([home_loss(come_home(steps[s, t], steps[t, s])) for s, t in pairs]).mean()


def domain_loss(nodes: Float[Tensor, "b t n c"], *, temperature: float) -> Float[Tensor, ""]:
    """Score how surely a step into another frame stays in its video when nodes of all videos are open to it.

    Args:
        nodes: Unit-length features of b different videos.
        temperature: Softmax temperature, unitless, > 0.

    Returns:
        Mean negative log-probability in nats over pairs of frames: 0 when no walker strays, log b when videos
        cannot be told apart; 0 for a single video.
    """
    losses = []
    for here, next_ in combinations(nodes.unbind(dim=1), 2):
        scores = similarity(here[:, None], next_[None], temperature=temperature)  # b b n n
        by_video = scores.logsumexp(dim=-1)
        losses.append(-by_video.log_softmax(dim=1).diagonal(dim1=0, dim2=1).mean())
    return torch.stack(losses).mean()


@OBJECTIVES.register("scr")
class SCR(Objective):
    """Closes cycles over all pairs of frames and all paths between them, and keeps walkers in their video.

    Source:
        Son 2022 (CVPR), self-cycle consistency. What is inferred: see the module.
    """

    Config = SCRConfig

    def __init__(self, config: SCRConfig) -> None:
        super().__init__(config)
        self.nodes = NodeEncoder(config)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `cycle`, and `self_cycle` and `domain` before their weights.

        Raises:
            UsageError: The clip has fewer than two frames, its frames are too small for 2x2 nodes, or the
                features have another width than the settings say.
        """
        if clip.frames.shape[1] < 2:
            raise UsageError(f"a walk needs at least 2 frames, got clips of {clip.frames.shape[1]}")
        config: SCRConfig = self.config
        nodes = self.nodes(clip, generator).features
        steps = complete_graph(
            nodes, temperature=config.temperature, edge_dropout=config.edge_dropout, generator=generator
        )
        cycle, self_cycle = mixed_paths_loss(steps), self_cycle_loss(steps)
        domain = domain_loss(nodes, temperature=config.temperature)
        total = cycle + config.self_cycle_weight * self_cycle + config.domain_weight * domain
        parts = {"cycle": cycle.detach(), "self_cycle": self_cycle.detach(), "domain": domain.detach()}
        return LossTerms(total, parts)


def _blend(paths: Sequence[Float[Tensor, "b n n"]]) -> Float[Tensor, "b n n"]:
    return torch.stack(list(paths)).logsumexp(dim=0) - math.log(len(paths))
