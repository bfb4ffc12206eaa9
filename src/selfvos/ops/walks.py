"""Random walks between the nodes of a clip's frames: nodes cut from pixels, transitions, and coming home again.

Probabilities are kept as logarithms throughout: a long walk through many nodes is too unlikely for float32. One step
after another costs memory with the cube of the number of nodes, which is little for the 49 patches of a frame.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.ops.contrast import similarity

_LEAST_PATCH_PX = 16
_CLOSED = -1e20
_LEAST_HOME = math.log(1e-20)


def cut_patches(
    frames: Float[Tensor, "b t 3 y x"], *, patch_px: int, step_px: int
) -> Float[Tensor, "b t rows columns 3 p p"]:
    """Cut every frame into overlapping square patches, as many as it holds.

    Args:
        frames: Pictures of any values.
        patch_px: Side of a patch. In frames with a side below twice that, patches and steps shrink alike, to
            the largest multiple of 16 of which two fit side by side.
        step_px: From one patch to the next.

    Raises:
        UsageError: A side is below 32.

    Source:
        Jabri et al. 2020, arXiv:2006.14613: 64-pixel patches every 32 pixels, 7x7 of a 256-pixel frame. Shrinking
        is added here, so that small crops have several nodes too.
    """
    half = min(frames.shape[-2:]) // 2
    side = patch_px if patch_px <= half else half - half % _LEAST_PATCH_PX
    if side < 1:
        raise UsageError(
            f"frames of {frames.shape[-2]}x{frames.shape[-1]} are too small for 2x2 patches of at least "
            f"{_LEAST_PATCH_PX} px; use larger crops"
        )
    step = max(1, side * step_px // patch_px)
    return frames.unfold(3, side, step).unfold(4, side, step).permute(0, 1, 3, 4, 2, 5, 6)


def transition(
    source: Float[Tensor, "b n c"],
    target: Float[Tensor, "b m c"],
    *,
    temperature: float,
    edge_dropout: float,
    generator: torch.Generator,
) -> Float[Tensor, "b n m"]:
    """Return the log-probability of stepping from each source node to each target node.

    Args:
        source: Unit-length features of where the walker stands.
        target: Unit-length features of where it may go.
        temperature: Softmax temperature, unitless, > 0; smaller is sharper.
        edge_dropout: How often an edge is closed, in [0, 1); a node whose edges are all closed steps anywhere.
        generator: On the CPU; decides which edges are closed.

    Source:
        Jabri et al. 2020, arXiv:2006.14613, transition probabilities and edge dropout.
    """
    scores = similarity(source, target, temperature=temperature)
    if edge_dropout:
        closed = torch.rand(scores.shape, generator=generator) < edge_dropout
        scores = scores.masked_fill(closed.to(scores.device), _CLOSED)
    return scores.log_softmax(dim=-1)


def there_and_back(
    nodes: Float[Tensor, "b t n c"], *, temperature: float, edge_dropout: float, generator: torch.Generator
) -> tuple[list[Float[Tensor, "b n n"]], list[Float[Tensor, "b n n"]]]:
    """Return the transitions from each frame to the next, and from each next frame to the one before it.

    Edges are closed independently in the two directions; see `transition`.
    """
    frames = nodes.unbind(dim=1)
    there = [
        transition(a, b, temperature=temperature, edge_dropout=edge_dropout, generator=generator)
        for a, b in pairwise(frames)
    ]
    back = [
        transition(b, a, temperature=temperature, edge_dropout=edge_dropout, generator=generator)
        for a, b in pairwise(frames)
    ]
    return there, back


def follow(first: Float[Tensor, "b n m"], second: Float[Tensor, "b m k"]) -> Float[Tensor, "b n k"]:
    """Return the log-probability of getting from n to k by one step after the other."""
    return (first[:, :, :, None] + second[:, None]).logsumexp(dim=2)


def come_home(there: Float[Tensor, "b n m"], back: Float[Tensor, "b m n"]) -> Float[Tensor, "b n"]:
    """Return the log-probability that a walker who goes there and back ends where it started."""
    return (there + back.mT).logsumexp(dim=-1)


def home_loss(home: Float[Tensor, "b n"]) -> Float[Tensor, ""]:
    """Return the mean negative log-probability of coming home, in nats; each walker costs at most 46."""
    # Where closed edges leave no way home, the probability is 0: the floor keeps the loss finite.
    return -home.clamp_min(_LEAST_HOME).mean()


def palindrome_loss(
    there: Sequence[Float[Tensor, "b n n"]], back: Sequence[Float[Tensor, "b n n"]]
) -> Float[Tensor, ""]:
    """Score how surely walkers come home from palindromes of all lengths.

    Args:
        there: Log-transitions from each frame to the next, at least one.
        back: Log-transitions from each of these next frames to the one before it, in the same order.

    Returns:
        Mean over lengths and nodes in nats: 0 when all come home, log n when all are lost.

    Source:
        Jabri et al. 2020, arXiv:2006.14613, cycle-consistency with sub-cycles. As in the public code, the shortest
        walk goes two frames far; clips of two frames, which have no such walk, take the one-frame walk here.
    """
    losses = []
    out, home = there[0], back[0]
    if len(there) == 1:
        return home_loss(come_home(out, home))
    for forth, return_ in zip(there[1:], back[1:], strict=True):
        out, home = follow(out, forth), follow(return_, home)
        losses.append(home_loss(come_home(out, home)))
    return torch.stack(losses).mean()
