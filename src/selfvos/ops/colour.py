"""Colour as networks and as eyes measure it."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from selfvos.errors import UsageError

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

_XYZ_OF_RGB = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_RGB_OF_XYZ = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)
_D65 = tuple(sum(row) for row in _XYZ_OF_RGB)
"""The white that linear RGB (1, 1, 1) stands for: white then has a = b = 0 exactly."""
_EDGE = 6 / 29
"""Where Lab's cube root turns into a straight line, as a root."""
_LINEAR_BELOW = 0.0031308
"""Where sRGB's power turns into a straight line, as linear light."""

AB_CENTRES = (
    (0, 0),
    (1, 8),
    (1, -9),
    (-7, 2),
    (4, 19),
    (-9, 19),
    (15, 9),
    (-3, -23),
    (-15, 35),
    (18, 29),
    (7, -37),
    (-21, -8),
    (16, 50),
    (43, 23),
    (-27, 58),
    (28, -63),
)
"""The a and b of the 16 colours that pictures are reduced to, the most frequent first.

k-means (20 restarts, rounded to whole numbers) of 500 random pixels of the middle frame of each of 414 real clips,
among them 25 of DAVIS 2016 train; a pixel lies 5.0 from its centre on average. Of a regular 4x4 grid over the whole
range of a and b, four bins would hold 99 % of the same pixels, 29 from their centres.
"""


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
    x, y, z = _lightness(_mix(to_relative_xyz, linear)).unbind(dim=-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def lab_to_rgb(lab: Float[Tensor, "*batch 3 y x"]) -> Float[Tensor, "*batch 3 y x"]:
    """Convert CIE Lab to the nearest thing that a screen can show.

    Args:
        lab: L in [0, 100] and any a and b, as `rgb_to_lab` returns them.

    Returns:
        sRGB in [0, 1]. Colours that sRGB does not have are clipped channel by channel, so they come back changed.

    Source:
        The inverse of `rgb_to_lab`.
    """
    lightness, a, b = lab.unbind(dim=-3)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], dim=-3)
    relative = torch.where(root > _EDGE, root.clamp_min(_EDGE) ** 3, 3 * _EDGE**2 * (root - 4 / 29))
    from_relative_xyz = lab.new_tensor(_RGB_OF_XYZ) * lab.new_tensor(_D65)
    linear = _mix(from_relative_xyz, relative).clamp(0, 1)
    # The power sees no value below the edge, where its slope would grow beyond bounds.
    curve = 1.055 * linear.clamp_min(_LINEAR_BELOW) ** (1 / 2.4) - 0.055
    return torch.where(linear <= _LINEAR_BELOW, 12.92 * linear, curve)


def grey(rgb: Float[Tensor, "*batch 3 y x"]) -> Float[Tensor, "*batch 3 y x"]:
    """Take the hue out of RGB in [0, 1] and keep the lightness L; the three channels are then alike."""
    return lab_to_rgb(rgb_to_lab(rgb) * rgb.new_tensor([1.0, 0.0, 0.0])[:, None, None])


def jitter(rgb: Float[Tensor, "n 3 y x"], strength: float, generator: torch.Generator) -> Float[Tensor, "n 3 y x"]:
    """Change lightness, contrast, saturation and hue of each picture a little, by chance.

    Args:
        rgb: In [0, 1].
        strength: Largest change in [0, 0.5]: a share of lightness, contrast and saturation, of a turn for the hue.
        generator: On the CPU.

    Returns:
        RGB in [0, 1], clipped to what sRGB has.

    Raises:
        UsageError: A strength outside its range.
    """
    if not 0 <= strength <= 0.5:
        raise UsageError(f"strength must be in [0, 0.5], got {strength}")
    change = (2 * torch.rand(4, len(rgb), 1, 1, generator=generator) - 1).to(rgb) * strength
    brightness, contrast, saturation = 1 + change[:3]
    cosine, sine = (2 * math.pi * change[3]).cos(), (2 * math.pi * change[3]).sin()
    lightness, a, b = rgb_to_lab(rgb).unbind(dim=1)
    mean = lightness.mean(dim=(1, 2), keepdim=True)
    lightness = brightness * (mean + contrast * (lightness - mean))
    turned = [saturation * (cosine * a - sine * b), saturation * (sine * a + cosine * b)]
    return lab_to_rgb(torch.stack([lightness, *turned], dim=1))


def ab_bins(lab: Float[Tensor, "*batch 3 y x"]) -> Int64[Tensor, "*batch y x"]:
    """Return for each pixel which of `AB_CENTRES` is nearest to its a and b; lightness does not count."""
    a, b = lab[..., 1, :, :, None], lab[..., 2, :, :, None]
    centres = lab.new_tensor(AB_CENTRES)
    return ((a - centres[:, 0]) ** 2 + (b - centres[:, 1]) ** 2).argmin(dim=-1)


def _mix(matrix: Tensor, channels: Tensor) -> Tensor:
    # Autocast would round colours to bfloat16, which is coarser than the eight bits of a picture.
    with torch.autocast(channels.device.type, enabled=False):
        return torch.einsum("ij,...jyx->...iyx", matrix, channels)


def _lightness(relative: Tensor) -> Tensor:
    # The cube root sees no value below the edge, where its slope would grow beyond bounds.
    root = relative.clamp_min(_EDGE**3) ** (1 / 3)
    return torch.where(relative > _EDGE**3, root, relative / (3 * _EDGE**2) + 4 / 29)


def _channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values)[:, None, None]
