"""Move what memory cells carry to the query cells that they answer for."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.kernels.loading import gpu_kernels
from selfvos.ops.matching import Matches


def readout(values: Float[Tensor, "r c"], matches: Matches) -> Float[Tensor, "m c"]:
    """Mix, for each query cell, the values of the memory cells that it was matched with.

    The cost depends on the number of matches and channels, not on the number of memory cells.

    Args:
        values: What each of the r = n * h * w memory cells carries, in the order of `Matches.index`.
        matches: Kept memory cells and their weights, from `selfvos.ops.matching.match`.

    Returns:
        Weighted means of values, in their type; differentiable in `values`.

    Source:
        The reading step of label propagation and of matching-based segmentation, with sparse weights.
    """
    weight = matches.weight.to(values.dtype)
    if (
        values.device.type == "cuda"
        and not values.requires_grad
        and (kernel := gpu_kernels(values.device, values.dtype))
    ):
        return kernel.read(values, matches.index, weight)
    return F.embedding_bag(matches.index, values, per_sample_weights=weight, mode="sum")


def dense_affinity(
    query: Float[Tensor, "b c m"], memory: Float[Tensor, "b c r"], temperature: float, *, top_k: int = 0
) -> Float[Tensor, "b r m"]:
    """Compare every memory cell with every query cell: the affinity that training differentiates through.

    Args:
        query: Features of m query cells.
        memory: Features of r memory cells.
        temperature: Softmax temperature over the memory cells, > 0; smaller is sharper.
        top_k: Best memory cells of each query cell that share its weight; 0, or as many as there are: all.

    Returns:
        Weight of each memory cell in each query cell; columns sum to 1.

    Raises:
        UsageError: A temperature that is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"temperature must be > 0, got {temperature}")
    scores = memory.mT @ (query / temperature)
    if 0 < top_k < scores.shape[1]:
        best = scores.topk(top_k, dim=1)
        scores = torch.full_like(scores, -torch.inf).scatter(1, best.indices, best.values)
    return scores.softmax(dim=1)


def propagate(affinity: Float[Tensor, "b r m"], values: Float[Tensor, "b o r c"]) -> Float[Tensor, "b o m c"]:
    """Mix the memory cells' values of every object into the query cells, in one product for all objects.

    Args:
        affinity: Weight of each memory cell in each query cell, from `dense_affinity`.
        values: What each memory cell carries for each object.

    Returns:
        Weighted means of values, differentiable in both arguments.
    """
    return torch.einsum("brm,borc->bomc", affinity, values)
