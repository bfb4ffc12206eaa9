"""3 x 3 convolutions on the CPU with a quarter of the products."""

import platform
from collections import deque
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.ops.kernels.loading import convolution_kernel
from selfvos.ops.threads import shared_out

_POINTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_MOST = 2**19
"""Numbers that parts of a map take while it is made: larger maps are made some rows of tiles at a time."""
CHANNEL_STEP = 16
"""Channels come in multiples of this."""


@lru_cache(maxsize=1)
def is_worth_it() -> bool:
    """Say whether this machine convolves faster so: where large products and vectors are what is fast."""
    return (
        platform.machine().lower() in ("x86_64", "amd64")
        and torch.backends.mkl.is_available()
        and convolution_kernel() is not None
    )


def transform(weight: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "36 c d"]:
    """Return the weights of a convolution as `convolve` takes them: four times as many numbers."""
    points = torch.tensor(_POINTS, dtype=torch.float64, device=weight.device)
    places = weight.double().permute(2, 3, 1, 0)
    return (torch.kron(points, points) @ places.flatten(0, 1).flatten(1)).float().unflatten(1, places.shape[2:])


def convolve(
    maps: Float[Tensor, "b c y x"],
    weight: Float[Tensor, "36 c d"],
    bias: Float[Tensor, " d"],
    *,
    added: Float[Tensor, "b d y x"] | None = None,
    rectify: bool = False,
) -> Float[Tensor, "b d y x"]:
    """Convolve with 3 x 3 weights, stride 1, zeros beyond the border; without gradient, float32 on the CPU.

    Args:
        maps: Best channels last in memory; c and d are multiples of `CHANNEL_STEP`.
        weight: From `transform`.
        bias: Of each channel.
        added: Maps to add to the result.
        rectify: Whether what is below 0 becomes 0, in the end.

    Returns:
        Channels last in memory. It differs from what torch finds by rounding: some six times as far from the truth.

    Source:
        Lavin and Gray 2016 (arXiv:1509.09308), tiles of 4 x 4.
    """
    b, _, height, width = maps.shape
    made = torch.empty(b, weight.shape[2], height, width, memory_format=torch.channels_last)
    for number in range(b):
        more = None if added is None else _last(added[number])
        _convolve(_last(maps[number]), weight, bias, _last(made[number]), more, rectify=rectify)
    return made


def _convolve(
    maps: Float[Tensor, "y x c"],
    weight: Float[Tensor, "36 c d"],
    bias: Float[Tensor, " d"],
    made: Float[Tensor, "y x d"],
    added: Float[Tensor, "y x d"] | None,
    *,
    rectify: bool,
) -> None:
    kernel = convolution_kernel()
    assert kernel is not None, "ask first whether it is worth it"
    down, across = kernel.tiles(made.shape[0], made.shape[1])
    step = max(1, _MOST // (len(weight) * across * max(weight.shape[1:])))
    arrays, more = [maps.numpy(), bias.numpy(), made.numpy()], None if added is None else added.numpy()
    left = deque(range(0, down, step))

    @torch.inference_mode()
    def convolve_some() -> None:
        # Larger parts than these would leave the second cache between the steps.
        seen = products = torch.empty(len(weight), 0, 0)
        while (top := _taken(left)) is not None:
            rows = range(top, min(top + step, down))
            if seen.shape[1] != len(rows) * across:
                seen, products = (torch.empty(len(weight), len(rows) * across, size) for size in weight.shape[1:])
            kernel.see_maps(arrays[0], rows, seen.numpy())
            torch.bmm(seen, weight, out=products)
            kernel.make_maps(products.numpy(), arrays[1], rows, arrays[2], added=more, rectify=rectify)

    shared_out(convolve_some)


def _taken(left: deque[int]) -> int | None:
    try:
        return left.popleft()
    except IndexError:
        return None


def _last(maps: Float[Tensor, "c y x"]) -> Float[Tensor, "y x c"]:
    return maps.permute(1, 2, 0).contiguous()
