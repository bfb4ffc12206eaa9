"""Label propagation's matching as published scripts do it: the whole affinity, then the best of each column."""

import torch
from torch import Tensor

_OUTSIDE = -1e10
_PARTS = 4


def dense_matches(
    query: Tensor, memory: Tensor, *, radius: float, top_k: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """Match a query frame (h w c) with memory frames (n h w c), the first of them everywhere.

    The product of all cells is formed, a large negative number is added outside the disc, and the best candidates
    are taken along the strided memory dimension, as in CRW's test script. Query cells go in four parts, so that
    the affinity of 21 frames at 480p needs 0.9 GB at a time instead of 3.5 GB.

    Returns:
        Flat memory cells and softmax weights, m x top_k.
    """
    n, h, w, c = memory.shape
    keys = memory.reshape(n, h * w, c).permute(2, 0, 1).contiguous()
    places = torch.cartesian_prod(torch.arange(h), torch.arange(w)).float()
    penalty = (torch.cdist(places, places) >= radius).float() * _OUTSIDE
    cells, weights = [], []
    for part, outside in zip(query.reshape(h * w, c).chunk(_PARTS), penalty.chunk(_PARTS, dim=1), strict=True):
        affinity = torch.einsum("cnr,qc->nrq", keys, part)
        affinity[1:] += outside
        affinity /= temperature
        best, index = affinity.flatten(0, 1).topk(top_k, dim=0)
        cells.append(index.T)
        weights.append(best.softmax(dim=0).T)
    return torch.cat(cells), torch.cat(weights)
