"""How well the cells of a frame were found in memory: what no label tells."""

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.ops.matching import Matches


def evidence(matches: Matches, grid: tuple[int, int]) -> Float[Tensor, "2 h w"]:
    """Return the best score of each cell, and the mean of its scores by their weights.

    A cell that nothing in memory resembles has some label all the same: where the best score is low the label is a
    guess, not background.

    Args:
        matches: Of the frame's cells; scores are cosines where features have unit length.
        grid: Rows and columns of cells.
    """
    score = matches.score.clamp_min(-1).float()  # -inf where unused
    mean = (score * matches.weight.float()).sum(dim=1)
    return torch.stack([score[:, 0], mean]).unflatten(1, grid)
