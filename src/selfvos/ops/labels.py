"""Labels finer than cells as memory has them, and the contrast that carrying wears off them."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def fold(labels: Float[Tensor, "1 o1 h2 w2"], scale: int) -> Float[Tensor, "m l"]:
    """Return labels as memory has them: for each cell all of its `scale` times `scale` parts."""
    return F.pixel_unshuffle(labels, scale)[0].flatten(1).T


def unfold(folded: Float[Tensor, "m l"], grid: tuple[int, int], scale: int) -> Float[Tensor, "o1 h2 w2"]:
    """Return as maps what `fold` folded, where the grid has so many rows and columns of cells."""
    return F.pixel_shuffle(folded.T.unflatten(1, grid), scale)


def stretch(carried: Float[Tensor, "o1 h w"], lost_below: float) -> Float[Tensor, "o1 h w"]:
    """Give back to labels the contrast that carrying them from frame to frame wears off.

    Mixing the best matches blurs labels a little in every frame, and what is remembered is mixed again: objects fade.
    Each object that is not lost gets 1 where it is surest, background gets 0 where it is least likely, and the
    channels of a cell sum to 1 again.

    Args:
        carried: Probabilities, background first.
        lost_below: An object whose peak is not above this is left as it is, so that what is lost stays lost.

    Source:
        This package's own, after the min-max normalisation in public test code of UVC, DINO and VFS, which also blows
        up what has disappeared.
    """
    peak = carried[1:].amax(dim=(1, 2), keepdim=True)
    stretched = torch.empty_like(carried)
    stretched[:1] = carried[:1] - carried[:1].amin()
    torch.div(carried[1:], torch.where(peak > lost_below, peak, 1.0), out=stretched[1:])
    return stretched.div_(stretched.sum(dim=0, keepdim=True).clamp_min(torch.finfo(stretched.dtype).tiny))
