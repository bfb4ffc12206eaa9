"""Flips, crops and scalings that move an image, its feature map and its labels alike.

Positions run from -1 to 1 between the edges of the picture (``grid_sample``, ``align_corners=False``), so one
matrix serves every resolution: the warped frame and its warped features show the same part of the scene.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from selfvos.errors import UsageError

Mode = Literal["bilinear", "nearest"]


@dataclass(frozen=True)
class Transform:
    """One crop box and flip for each sample of a batch: where each output position looks in the input."""

    flip: Float[Tensor, "b"]
    """1, or -1 to mirror left and right."""
    scale: Float[Tensor, "b"]
    """Side of the crop box relative to the input's; above 1 it reaches beyond the input."""
    tx: Float[Tensor, "b"]
    """Centre of the crop box, -1 at the input's left edge, 1 at the right."""
    ty: Float[Tensor, "b"]
    """Centre of the crop box, -1 at the input's upper edge, 1 at the lower."""


@dataclass(frozen=True, kw_only=True)
class TransformConfig:
    """How strongly the transforms change the picture (Φ of the correspondence objectives)."""

    min_scale: float = 0.5
    """Smallest side of the crop box relative to the picture's, in (0, 1]."""
    max_scale: float = 1.0
    """Largest side of the crop box relative to the picture's, in (0, 1]."""
    flip_probability: float = 0.5
    """How often a sample is mirrored, in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= self.max_scale <= 1:
            raise UsageError(
                f"scales must satisfy 0 < min_scale <= max_scale <= 1, got {self.min_scale} and {self.max_scale}"
            )
        _check_probability(self.flip_probability)


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """How a training crop is taken from the frames of a clip."""

    min_short_side: float = 1.0
    """Smallest short side that frames are resized to, in crop sides, at least 1."""
    max_short_side: float = 1.25
    """Largest short side that frames are resized to, in crop sides."""
    flip_probability: float = 0.5
    """How often a clip is mirrored, in [0, 1]."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_short_side <= self.max_short_side:
            raise UsageError(
                "short sides must satisfy 1 <= min_short_side <= max_short_side (in crop sides), "
                f"got {self.min_short_side} and {self.max_short_side}"
            )
        _check_probability(self.flip_probability)


def theta(transform: Transform) -> Float[Tensor, "b 2 3"]:
    """Return the matrices that take output positions to input positions, both in [-1, 1]."""
    zero = torch.zeros_like(transform.scale)
    across = torch.stack([transform.flip * transform.scale, zero, transform.tx], dim=-1)
    down = torch.stack([zero, transform.scale, transform.ty], dim=-1)
    return torch.stack([across, down], dim=-2)


def sample_transform(batch: int, generator: torch.Generator, config: TransformConfig) -> Transform:
    """Draw an independent transform for every sample; the crop box never leaves the picture.

    Args:
        batch: Samples to draw for.
        generator: On the CPU; the result is there too, so that every device sees the same transforms.
        config: Ranges to draw from, evenly.

    Source:
        method of Li et al. 2023 (arXiv:2303.10100), scaling, flipping and cropping. The box lies at any
        position here, not only at whole pixels, for it shall suit pixels and feature cells alike.
    """
    unit = torch.rand(3, batch, generator=generator)
    scale = config.min_scale + (config.max_scale - config.min_scale) * unit[0]
    tx, ty = (2 * unit[1:] - 1) * (1 - scale)
    return Transform(flip=_sample_flip(batch, generator, config.flip_probability), scale=scale, tx=tx, ty=ty)


def inverse(transform: Transform) -> Transform:
    """Return the transform that undoes `transform` wherever the crop box had seen the input."""
    return Transform(
        flip=transform.flip,
        scale=1 / transform.scale,
        tx=-transform.flip * transform.tx / transform.scale,
        ty=-transform.ty / transform.scale,
    )


def warp(
    images: Float[Tensor, "b c y x"],
    transform: Transform,
    *,
    mode: Mode = "bilinear",
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "b c y2 x2"]:
    """Show of each image what its crop box shows, resized to a full picture.

    Args:
        images: Pixels, features or soft labels.
        transform: One for each image; may be on another device.
        mode: `nearest` keeps values that must not be mixed.
        size: Rows and columns of the result; by default those of `images`.

    Returns:
        The warped images. Positions outside the input repeat its nearest edge.
    """
    return _resample(images, theta(transform), size or (images.shape[-2], images.shape[-1]), mode)


def warp_unit(
    features: Float[Tensor, "b c h w"], transform: Transform, *, mode: Mode = "bilinear"
) -> Float[Tensor, "b c h w"]:
    """Warp unit-length features and bring them back to unit length, which mixing neighbours shortens."""
    return functional.normalize(warp(features, transform, mode=mode), dim=1)


def sample_crop(
    batch: int, height: int, width: int, crop_px: int, generator: torch.Generator, config: CropConfig
) -> Float[Tensor, "b 2 3"]:
    """Draw a square training crop for every clip: frames resized, cut and mirrored in one matrix.

    Args:
        batch: Clips to draw for.
        height: Rows of the frames.
        width: Columns of the frames.
        crop_px: Side of the crop.
        generator: On the CPU, as is the result.
        config: Sizes of the frame before the cut, relative to `crop_px`, and how often it is mirrored.

    Returns:
        Matrices for `crop` and `crop_labels`; the crop never leaves the frame and keeps its aspect.

    Raises:
        UsageError: A side is not positive.
    """
    if min(height, width, crop_px) < 1:
        raise UsageError(f"a crop needs positive sides, got {crop_px} from a frame of {height}x{width}")
    unit = torch.rand(3, batch, generator=generator)
    short_side = config.min_short_side + (config.max_short_side - config.min_short_side) * unit[0]
    # Share of the frame's width and height that the crop shows; crop_px cancels out.
    share = min(height, width) / (short_side * torch.tensor([[width], [height]]))
    tx, ty = (2 * unit[1:] - 1) * (1 - share)
    flip, zero = _sample_flip(batch, generator, config.flip_probability), torch.zeros(batch)
    matrix = torch.stack([flip * share[0], zero, tx, zero, share[1], ty], dim=-1)
    return matrix.unflatten(-1, (2, 3))


def crop(
    frames: Float[Tensor, "b t 3 y x"], theta: Float[Tensor, "b 2 3"], size: tuple[int, int]
) -> Float[Tensor, "b t 3 y2 x2"]:
    """Cut the same crop out of all frames of a clip, in a single resampling.

    Frames more than twice too large are averaged over whole blocks of pixels first, for bilinear
    sampling would see only some of them and flicker.
    """
    flat = frames.flatten(1, 2)
    rows, columns = flat.shape[-2:]
    seen = theta.diagonal(dim1=1, dim2=2).abs().amin(dim=0).tolist()
    block = int(min(seen[0] * columns / size[1], seen[1] * rows / size[0]))
    if block >= 2:
        flat = functional.adaptive_avg_pool2d(flat, (rows // block, columns // block))
    return _resample(flat, theta, size, "bilinear").unflatten(1, frames.shape[1:3])


def crop_labels(
    masks: Int64[Tensor, "b t y x"], theta: Float[Tensor, "b 2 3"], size: tuple[int, int]
) -> Int64[Tensor, "b t y2 x2"]:
    """Cut the crop of `crop` out of label maps of any resolution; ids, below 2**24, are never mixed."""
    return _resample(masks.float(), theta, size, "nearest").long()


def _resample(images: Tensor, matrix: Tensor, size: tuple[int, int], mode: Mode) -> Tensor:
    # In float32 throughout, under autocast too: in bfloat16 a coordinate is off by up to a whole pixel of 256.
    with torch.autocast(images.device.type, enabled=False):
        matrix = matrix.to(images.device, torch.float32)
        grid = functional.affine_grid(matrix, [len(matrix), 1, *size], align_corners=False)
    # Stopping at the outermost pixel centres is border padding, which older Metal backends lack.
    last = 1 - 1 / torch.tensor([images.shape[-1], images.shape[-2]], dtype=torch.float32, device=images.device)
    sampled = functional.grid_sample(images.float(), grid.clamp(-last, last), mode=mode, align_corners=False)
    return sampled.to(images.dtype)


def _sample_flip(batch: int, generator: torch.Generator, probability: float) -> Tensor:
    return 1 - 2 * (torch.rand(batch, generator=generator) < probability).float()


def _check_probability(value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"flip_probability must be in [0, 1], got {value}")
