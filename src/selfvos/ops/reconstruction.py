"""Rebuild one frame from another: what each cell looks like there, within reach, carried over and scored.

Whoever can copy the right colours (or labels) knows where everything went. A cell is compared with the
k = (2 radius + 1)^2 cells around its own place in the reference and with no others, row by row of the window.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor
from torch.nn import functional

from selfvos.errors import UsageError


def window_scores(
    target: Float[Tensor, "b c h w"],
    reference: Float[Tensor, "b c h w"],
    *,
    radius_cells: int,
    temperature: float = 1.0,
) -> Float[Tensor, "b k h w"]:
    """Compare each cell of one frame with the cells around its place in another.

    The result takes b k h w numbers, in float32 even under autocast; beside it, one row of the window at a time takes
    b h w (w + 2 radius). All pairs of cells, b (h w)^2, never exist.

    Args:
        target: Features of the frame that is rebuilt.
        reference: Features of the frame that it is rebuilt from.
        radius_cells: How many cells the window reaches to each side, at least 0.
        temperature: Divides the dot products, unitless, > 0.

    Returns:
        Dot products, windows row by row from the upper left; -inf where the window leaves the map.

    Raises:
        UsageError: A negative radius, or a temperature that is not above 0.

    Source:
        Local attention of CorrFlow (arXiv:1905.00875) and MAST (arXiv:2002.07793), as dense products of rows.
    """
    if radius_cells < 0 or not temperature > 0:
        raise UsageError(f"a window needs radius_cells >= 0 and temperature > 0, got {radius_cells} and {temperature}")
    b, _, h, w = target.shape
    side = 2 * radius_cells + 1
    # Rows come first, so that all rows of the reference that one row of the window meets lie in one piece.
    queries = (target.float() / temperature).permute(2, 0, 3, 1).flatten(0, 1)  # (h b) w c
    padded = functional.pad(reference.float(), [radius_cells] * 4).permute(2, 0, 1, 3).contiguous()  # h+2r b c w+2r
    bands = []
    with torch.autocast(target.device.type, enabled=False):
        for shift in range(side):
            products = queries @ padded[shift : shift + h].flatten(0, 1)  # (h b) w w+2r
            bands.append(_diagonals(products, side).unflatten(0, (h, b)).permute(1, 3, 0, 2))
    return torch.cat(bands, dim=1).masked_fill(~_inside(radius_cells, h, w, target.device), -torch.inf)


def window_affinity(
    scores: Float[Tensor, "b k h w"], others: Float[Tensor, "b h w"] | None = None
) -> Float[Tensor, "b k h w"]:
    """Turn scores into the share that each cell of the window has in a target cell.

    Args:
        scores: From `window_scores`.
        others: Logarithm of the summed exponentials of competitors outside the window (see `logsumexp`); they take
            their share and carry nothing.

    Returns:
        Weights in [0, 1]; each window sums to 1, or to what the others leave.
    """
    if others is None:
        return scores.softmax(dim=1)
    return (scores - torch.logaddexp(scores.logsumexp(dim=1), others)[:, None]).exp()


def propagate_window(affinity: Float[Tensor, "b k h w"], values: Float[Tensor, "b v h w"]) -> Float[Tensor, "b v h w"]:
    """Mix what the cells of each window carry: colours, labels, anything.

    Args:
        affinity: From `window_affinity`.
        values: What each cell of the reference carries.

    Returns:
        Weighted sums, differentiable in both arguments. Beside the result, the gradient needs the arguments alone.
    """
    total = torch.zeros_like(values)
    for share, shifted in zip(affinity.unbind(dim=1), _shifted(values, (_side(affinity) - 1) // 2), strict=True):
        total = total + share[:, None] * shifted
    return total


def at_cells(images: Shaped[Tensor, "*batch y x"], stride: int) -> Shaped[Tensor, "*batch h w"]:
    """Return the pixel that each feature cell is centred on.

    Source:
        MAST, arXiv:2002.07793: the stem's convolutions centre cell i on pixel i * stride, so that pixels picked there
        fit the features, and pixels averaged over blocks would lie half a cell beside them.
    """
    return images[..., ::stride, ::stride]


def photometric_loss(
    guess: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c y x"], *, scale: float = 20.0
) -> Float[Tensor, ""]:
    """Score rebuilt colours against the real ones: smooth L1, quadratic for differences below 1 / scale.

    Args:
        guess: Rebuilt channels; brought to the size of the truth by bilinear interpolation.
        truth: The frame's channels, in about [-1, 1].
        scale: Multiplies both.

    Returns:
        Mean over channels and pixels; 0 for a perfect copy.

    Source:
        MAST, released code: 20 times both, threshold 1.
    """
    return functional.smooth_l1_loss(scale * _resize(guess, truth), scale * truth)


def label_loss(guess: Float[Tensor, "b v h w"], labels: Int64[Tensor, "b y x"]) -> Float[Tensor, ""]:
    """Score rebuilt label distributions against the real labels.

    Args:
        guess: Probability of each of v labels; brought to the size of the labels by bilinear interpolation.
        labels: Right label of each pixel, 0 to v - 1.

    Returns:
        Mean negative log-probability in nats; at most 18.4, where the right label was nowhere within reach.

    Source:
        CorrFlow, released code, with its floor of 1e-8.
    """
    right = _resize(guess, labels).gather(1, labels[:, None])
    return -(right + 1e-8).log().mean()


def _resize(guess: Tensor, like: Tensor) -> Tensor:
    if guess.shape[-2:] == like.shape[-2:]:
        return guess
    return functional.interpolate(guess, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _side(affinity: Tensor) -> int:
    return round(affinity.shape[1] ** 0.5)


def _diagonals(products: Tensor, count: int) -> Tensor:
    """Return of each w x (w + count - 1) matrix the `count` entries of row i that begin at column i."""
    w, columns = products.shape[-2:]
    # Rows that are one longer begin one earlier: every diagonal becomes a column.
    skewed = functional.pad(products.flatten(-2), [0, w]).unflatten(-1, (w, columns + 1))
    return skewed[..., :count]


def _shifted(images: Tensor, radius: int) -> Iterator[Tensor]:
    """Yield views that show at each cell the cell of the window's place, zero outside the map."""
    h, w = images.shape[-2:]
    padded = functional.pad(images, [radius] * 4)
    for down in range(2 * radius + 1):
        for across in range(2 * radius + 1):
            yield padded[..., down : down + h, across : across + w]


def _inside(radius: int, h: int, w: int, device: torch.device) -> Tensor:
    """Tell which places of each cell's window lie on the map: k h w."""
    return torch.stack(list(_shifted(torch.ones(h, w, device=device), radius))) > 0
