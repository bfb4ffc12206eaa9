"""Joint space-time graph: the random walk also knows which patches lie side by side.

What is owned here: colours, patches and the node head are those of `crw`; two linear maps of its own say how strongly
a node relates to each of its neighbours.

Origin: nodes are patches as in CRW; edges within a frame with learned weights, neighbours aggregated into each node
before the walk, a walk that alternates steps in space and in time, and a contrast that keeps centre and neighbours
together over time are the paper's, from general knowledge of it [K: Zhao, Jin, Heng 2021]; no code was found [X].
Inferred [I]: neighbours are the eight around a node; relations are dot products after two linear maps that start as
identities, so that learning begins from plain similarity; each step there and back is one in space, then one in time;
the contrast is InfoNCE between a node's neighbours and the neighbours of where it goes; its weight and temperatures.
Without code by its authors, its loss could not be compared with theirs.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.crw import NodeEncoder, NodesConfig
from selfvos.ops.contrast import info_nce, similarity
from selfvos.ops.walks import follow, palindrome_loss, there_and_back
from selfvos.types import LossTerms


@dataclass(frozen=True, kw_only=True)
class JSTGConfig(NodesConfig):
    """Nodes of the joint graph, and what their neighbours count."""

    relation_temperature: float = 0.1
    """Softmax temperature over a node and its neighbours, > 0."""
    neighbour_weight: float = 0.1
    """Weight of the contrast between neighbourhoods."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relation_temperature <= 0:
            raise UsageError(f"relation_temperature must be > 0, got {self.relation_temperature}")


def adjacency(rows: int, columns: int) -> Bool[Tensor, "n n"]:
    """Tell which nodes of a grid, row by row, touch: each has up to eight neighbours, and is none of its own."""
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    apart = (places[:, None] - places).abs().amax(dim=-1)
    return apart == 1


def space_transition(relations: Float[Tensor, "b n n"], allowed: Bool[Tensor, "n n"]) -> Float[Tensor, "b n n"]:
    """Return the log-probability of stepping from each node to each node that it may reach in its frame.

    Args:
        relations: How strongly nodes relate.
        allowed: Which steps there are; at least one from each node.
    """
    return relations.masked_fill(~allowed, -torch.inf).log_softmax(dim=-1)


def mix(step: Float[Tensor, "b n m"], nodes: Float[Tensor, "b m c"]) -> Float[Tensor, "b n c"]:
    """Return, at unit length, the mean of the nodes that a step leads to, weighted by its log-probabilities."""
    return functional.normalize(step.exp() @ nodes, dim=-1)


def joint_cycle_loss(
    space: Float[Tensor, "b t n n"],
    nodes: Float[Tensor, "b t n c"],
    *,
    temperature: float,
    edge_dropout: float,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Score how surely walkers that step in space, then in time, come home.

    Args:
        space: Log-probability of each step within its frame, from `space_transition`.
        nodes: Unit-length features of n nodes in each of t >= 2 frames, neighbours aggregated.
        temperature: Softmax temperature of steps in time, unitless, > 0.
        edge_dropout: How often an edge in time is closed, in [0, 1).
        generator: On the CPU; decides which edges are closed.

    Returns:
        Mean negative log-probability in nats: 0 when all come home, log n when all are lost. Without any step in
        space it is the loss of `crw`.
    """
    there, back = there_and_back(nodes, temperature=temperature, edge_dropout=edge_dropout, generator=generator)
    frames = space.unbind(dim=1)
    return palindrome_loss(
        [follow(frame, step) for frame, step in zip(frames[:-1], there, strict=True)],
        [follow(frame, step) for frame, step in zip(frames[1:], back, strict=True)],
    )


def neighbour_loss(
    neighbours: Float[Tensor, "b t n c"], nodes: Float[Tensor, "b t n c"], *, temperature: float
) -> Float[Tensor, ""]:
    """Score how well each node's neighbours are told by the neighbours of where it goes in the next frame.

    Args:
        neighbours: Unit-length mean of each node's neighbours, the node itself left out.
        nodes: Unit-length features of the nodes, which decide where each goes.
        temperature: Softmax temperature of transitions and contrast, unitless, > 0.

    Returns:
        Mean over successive frames in nats: 0 when all neighbourhoods are told apart, log(b n) when none is.
    """
    losses = []
    for t in range(nodes.shape[1] - 1):
        step = similarity(nodes[:, t], nodes[:, t + 1], temperature=temperature).log_softmax(dim=-1)
        losses.append(info_nce(neighbours[:, t], mix(step, neighbours[:, t + 1]), temperature=temperature))
    return torch.stack(losses).mean()


@OBJECTIVES.register("jstg")
class JSTG(Objective):
    """Sends walkers home through a graph with edges between neighbouring patches as well as between frames.

    Source:
        Zhao, Jin, Heng 2021, arXiv:2109.13499. What is inferred: see the module.
    """

    Config = JSTGConfig

    def __init__(self, config: JSTGConfig) -> None:
        super().__init__(config)
        self.nodes = NodeEncoder(config)
        self.centre = _identity(config.node_channels)
        self.neighbour = _identity(config.node_channels)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `cycle`, and `neighbour` before its weight.

        Raises:
            UsageError: The clip has fewer than two frames, its frames are too small for 2x2 nodes, or the
                features have another width than the settings say.
        """
        if clip.frames.shape[1] < 2:
            raise UsageError(f"a walk needs at least 2 frames, got clips of {clip.frames.shape[1]}")
        config: JSTGConfig = self.config
        nodes, rows, columns = self.nodes(clip, generator)
        touching = adjacency(rows, columns).to(nodes.device)
        relations = self._relations(nodes.flatten(0, 1))
        itself = torch.eye(rows * columns, dtype=torch.bool, device=nodes.device)
        space = space_transition(relations, touching | itself)
        aggregated = mix(space, nodes.flatten(0, 1)).view_as(nodes)
        around = mix(space_transition(relations, touching), nodes.flatten(0, 1)).view_as(nodes)

        cycle = joint_cycle_loss(
            space.unflatten(0, nodes.shape[:2]),
            aggregated,
            temperature=config.temperature,
            edge_dropout=config.edge_dropout,
            generator=generator,
        )
        neighbour = neighbour_loss(around, nodes, temperature=config.temperature)
        parts = {"cycle": cycle.detach(), "neighbour": neighbour.detach()}
        return LossTerms(cycle + config.neighbour_weight * neighbour, parts)

    def _relations(self, nodes: Float[Tensor, "bt n c"]) -> Float[Tensor, "bt n n"]:
        return similarity(self.centre(nodes), self.neighbour(nodes), temperature=self.config.relation_temperature)


def _identity(channels: int) -> nn.Linear:
    linear = nn.Linear(channels, channels, bias=False)
    nn.init.eye_(linear.weight)
    return linear
