"""Colour as networks and as eyes measure it."""

import torch
from jaxtyping import Float
from torch import Tensor

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

_XYZ_OF_RGB = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_D65 = tuple(sum(row) for row in _XYZ_OF_RGB)
"""The white that linear RGB (1, 1, 1) stands for: white then has a = b = 0 exactly."""


def normalise_imagenet(rgb: Float[Tensor, "*batch 3 y x"]) -> Float[Tensor, "*batch 3 y x"]:
    """Return RGB in [0, 1] with ImageNet's mean and standard deviation taken out of each channel."""
    return (rgb - _channels(_IMAGENET_MEAN, rgb)) / _channels(_IMAGENET_STD, rgb)


def rgb_to_lab(rgb: Float[Tensor, "*batch 3 y x"]) -> Float[Tensor, "*batch 3 y x"]:
    """Convert colours to CIE Lab, where distance is close to how different two colours look.

    Args:
        rgb: sRGB as stored in files, in [0, 1]; values outside are clamped.

    Returns:
        L in [0, 100], a in about [-86, 98], b in about [-108, 94]; grey has a = b = 0.

    Source:
        IEC 61966-2-1 (sRGB) and CIE 15 (Lab), D65 white, 2 degree observer.
    """
    encoded = rgb.clamp(0, 1)
    linear = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_relative_xyz = rgb.new_tensor(_XYZ_OF_RGB) / rgb.new_tensor(_D65)[:, None]
    relative = torch.einsum("ij,...jyx->...iyx", to_relative_xyz, linear)
    x, y, z = _lightness(relative).unbind(dim=-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def _lightness(relative: Tensor) -> Tensor:
    edge = 6 / 29
    # The cube root sees no value below the edge, where its slope would grow beyond bounds.
    root = relative.clamp_min(edge**3) ** (1 / 3)
    return torch.where(relative > edge**3, root, relative / (3 * edge**2) + 4 / 29)


def _channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values)[:, None, None]
