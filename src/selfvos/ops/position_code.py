"""Where a feature cell lies in space and time, as a sinusoidal code that clustering can add to features."""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from selfvos.errors import UsageError

PositionMode = Literal["add", "concat"]
"""Whether the code is summed onto the channels of a feature or put beside them."""


def position_code(t: int, h: int, w: int, channels: int, base: float = 10000.0) -> Float[Tensor, "t h w c"]:
    """Code the place of every cell of a video by sines and cosines of its three coordinates.

    Args:
        t: Frames.
        h: Feature rows.
        w: Feature columns.
        channels: Length c of one code, >= 6. Each axis fills d = 2 floor(c / 6) channels; the rest are 0.
        base: Ratio of the longest to the shortest wavelength, > 0; smaller lets far distances keep growing.

    Returns:
        Codes [time; row; column; zeros], each of length sqrt(3 d / 2), not normalised.

    Raises:
        UsageError: Fewer than 6 channels.

    Source:
        Li et al. 2023, arXiv:2303.10100, supplement pixel embeddings with a "3D sinusoidal position vector" and give
        no formula; this is Vaswani et al. 2017, arXiv:1706.03762, section 3.5, once per axis.
    """
    time, space = _codes(torch.arange(t), h, w, channels, base)
    return (time + space).float()


def add_position(
    features: Float[Tensor, "t h w c"],
    weight: float,
    mode: PositionMode,
    *,
    frames: Int64[Tensor, " t"] | None = None,
) -> Float[Tensor, "t h w c2"]:
    """Give features of unit length a share of position code, so that clusters are compact in space and time.

    Args:
        features: Unit-length features of t frames.
        weight: Length of the code that is given, in units of the feature's; 0 leaves features alone.
        mode: `add` sums code and feature (c2 = c), `concat` puts the code behind the feature (c2 = 2 c).
        frames: Index of each frame in its video; 0 to t - 1 when not given.

    Returns:
        Features with position, of the same dtype and on the same device.

    Raises:
        UsageError: Fewer than 6 channels and a weight other than 0.
    """
    if weight == 0 and mode == "add":
        return features
    t, h, w, channels = features.shape
    codes = _codes(torch.arange(t) if frames is None else frames.cpu(), h, w, channels)
    scale = weight / math.sqrt(1.5 * _axis_channels(channels))
    time, space = ((scale * code).to(features) for code in codes)
    # Added one after the other: the code of a whole video would be as large as its features.
    return (features + space).add_(time) if mode == "add" else torch.cat([features, time + space], dim=-1)


def _codes(frames: Tensor, h: int, w: int, channels: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Return what time (t 1 1 c) and what space (h w c) add to the code."""
    d = _axis_channels(channels)
    time = torch.zeros(len(frames), 1, 1, channels)
    space = torch.zeros(h, w, channels)
    time[..., :d] = _code_axis(frames, d, base)[:, None, None]
    space[..., d : 2 * d] = _code_axis(torch.arange(h), d, base)[:, None]
    space[..., 2 * d : 3 * d] = _code_axis(torch.arange(w), d, base)
    return time, space


def _axis_channels(channels: int) -> int:
    if channels < 6:
        raise UsageError(f"a position code needs at least 6 channels, got {channels}; give it the weight 0")
    return 2 * (channels // 6)


def _code_axis(positions: Tensor, d: int, base: float) -> Tensor:
    # Angles in float64: of a frame number in the thousands, float32 would keep only three decimals.
    frequencies = base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angles = positions.double()[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
