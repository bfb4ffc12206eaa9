"""Label maps that follow the edges of their picture."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.parallel import in_parallel
from selfvos.ops.threads import kernel_threads

_COARSE = 2
"""Windows are explained on means of so many pixels to each side, four times as fast and hardly less exact."""


def filter_labels(
    frames: Float[Tensor, "n 3 y x"], labels: Int64[Tensor, "n y x"], *, radius_px: int, epsilon: float = 1e-3
) -> Int64[Tensor, "n y x"]:
    """Move the outlines of labels to edges of the picture nearby; see `guided_filter`.

    Args:
        frames: RGB in [0, 1].
        labels: 0 and up, at the same size.
        radius_px: About how far outlines may be off.
        epsilon: Variance of colour below which a window counts as even.

    Returns:
        For each pixel the label that is strongest there.
    """
    masks = F.one_hot(labels).movedim(-1, 1).to(frames.dtype)
    return guided_filter(frames, masks, radius_px=radius_px, epsilon=epsilon).argmax(dim=1)


def guided_filter(
    frames: Float[Tensor, "n 3 y x"], masks: Float[Tensor, "n o y x"], *, radius_px: int, epsilon: float = 1e-3
) -> Float[Tensor, "n o y x"]:
    """Redraw masks as a linear function of colour around every pixel, so that they change where the picture does.

    Where nothing but the mask changes, it gets smooth.

    Args:
        frames: RGB in [0, 1].
        masks: Any number of maps, at the same size.
        radius_px: Windows reach so far to each side, at least 1: about as far as outlines may be off.
        epsilon: Variance of colour below which a window counts as even, > 0.

    Returns:
        Masks that may leave the range of what was given; maps that sum to 1 in every pixel still do.

    Raises:
        UsageError: A radius below 1, or an epsilon that is not above 0.

    Source:
        Guided filter with a colour guide, He et al. 2010; computed at half the size, He and Sun 2015.
    """
    if radius_px < 1 or not epsilon > 0:
        raise UsageError(f"radius_px must be at least 1 and epsilon > 0, got {radius_px} and {epsilon}")
    if _fits_kernel(frames, masks):
        guides = (Guide(frame, radius_px=radius_px, epsilon=epsilon) for frame in frames.detach())
        return torch.stack([_redrawn(guide, some) for guide, some in zip(guides, masks.detach(), strict=True)])
    return guided_filter_plain(frames, masks, radius_px=radius_px, epsilon=epsilon)


class Guide:
    """A frame that masks are redrawn by, one after the other: what they share is computed once."""

    def __init__(self, frame: Float[Tensor, "3 y x"], *, radius_px: int, epsilon: float) -> None:
        """Look at a frame on the CPU, in float32; for arguments see `guided_filter`."""
        # Compiled code is loaded when it is first needed, not whenever this module is imported.
        from selfvos.ops.kernels import guided_filter as kernel

        self._kernel, self._radius = kernel, max(1, radius_px // _COARSE)
        self._frame = frame.contiguous().numpy()
        self._windows = kernel.explain_colours(self._frame, self._radius, epsilon)
        self.margin = kernel.margin(self._radius)
        """How many pixels around what a mask shows may be changed by it."""

    def redraw(self, mask: Float[Tensor, "y2 x2"], top: int = 0, left: int = 0) -> Float[Tensor, "y2 x2"]:
        """Return a mask as `guided_filter` does.

        Args:
            mask: All of it, or a part that has all that the mask shows, and the margin, or the picture's border,
                around it.
            top: First row of the part, even.
            left: First column of the part, even.
        """
        found = self._kernel.redraw(self._frame, self._windows, mask.contiguous().numpy(), (top, left), self._radius)
        return torch.from_numpy(found)


def _redrawn(guide: Guide, masks: Float[Tensor, "o y x"]) -> Float[Tensor, "o y x"]:
    found = torch.empty_like(masks, memory_format=torch.contiguous_format)

    def redraw(place: int) -> None:
        found[place] = guide.redraw(masks[place])

    in_parallel(redraw, range(len(masks)), kernel_threads())
    return found


def guided_filter_plain(
    frames: Float[Tensor, "n 3 y x"], masks: Float[Tensor, "n o y x"], *, radius_px: int, epsilon: float
) -> Float[Tensor, "n o y x"]:
    """Do the same with torch alone, on any device and with gradients: the kernel's oracle."""
    slope, offset = _explain(F.avg_pool2d(frames, _COARSE), F.avg_pool2d(masks, _COARSE), radius_px // _COARSE, epsilon)
    slope, offset = (_enlarge(x, frames) for x in (slope.flatten(1, 2), offset))
    return (slope.unflatten(1, (3, -1)) * frames[:, :, None]).sum(dim=1) + offset


def _fits_kernel(frames: Tensor, masks: Tensor) -> bool:
    plain = all(x.device.type == "cpu" and x.dtype == torch.float32 for x in (frames, masks))
    learns = torch.is_grad_enabled() and (frames.requires_grad or masks.requires_grad)
    return plain and not learns and len(frames) > 0 and min(frames.shape[2:]) >= _COARSE


def _explain(frames: Tensor, masks: Tensor, radius: int, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return what to multiply colours with, and what to add, to get each mask (n 3 o y x, n o y x)."""
    radius = max(1, radius)
    mean, mask = _box(frames, radius), _box(masks, radius)
    products = _box((frames[:, :, None] * frames[:, None]).flatten(1, 2), radius).unflatten(1, (3, 3))
    variance = (products - mean[:, :, None] * mean[:, None]).permute(0, 3, 4, 1, 2)
    joint = _box((frames[:, :, None] * masks[:, None]).flatten(1, 2), radius).unflatten(1, (3, -1))
    covariance = (joint - mean[:, :, None] * mask[:, None]).permute(0, 3, 4, 1, 2)
    slope = torch.linalg.solve(variance + epsilon * torch.eye(3, device=frames.device), covariance)
    slope = slope.permute(0, 3, 4, 1, 2)
    offset = mask - (slope * mean[:, :, None]).sum(dim=1)
    return _box(slope.flatten(1, 2), radius).unflatten(1, (3, -1)), _box(offset, radius)


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _box(x: Tensor, radius: int) -> Tensor:
    """Average over square windows, cut off at the picture's border."""
    rows = F.avg_pool2d(x, (2 * radius + 1, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, 2 * radius + 1), stride=1, padding=(0, radius), count_include_pad=False)
