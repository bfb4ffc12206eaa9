"""What a soft mask has to reach to be shown: less where all of it is unsure, and less along lines."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import binary_erosion, grey_opening
from torch import Tensor

from selfvos.ops.masks import highest_around

HALF = 0.5
"""What everything has to reach, with nothing else to be said."""
_LEAST, _MOST = 0.3, 0.55
_PER_MEAN = 0.5
_LEAST_ALONG_LINES = 0.2
_SHARE = 0.75
_LONG = 4  # widths
_DARKER = 0.5  # an opening takes more than half from what is a line


def level(values: Float[Tensor, "h w"], sure: float) -> float:
    """Return what an object has to reach.

    Where it moves fast or turns, its labels are mixtures with what is around it, inside as well as at its outline; what
    is half of it everywhere else is more of it then.

    Args:
        values: How much of it is in each place.
        sure: Mean of those above one half where it has to reach one half.

    Returns:
        One half, less half of what that mean lacks, within 0.3 and 0.55; one half where it is nowhere above.

    Source:
        This package's own.
    """
    mean = _mean_above_half(values)
    return HALF if mean == HALF else min(max(HALF - _PER_MEAN * (sure - mean), _LEAST), _MOST)


def line_level(share: float) -> float:
    """Return what lines of an object have to reach.

    Args:
        share: How much of the outline that was given are outlines of lines, in [0, 1].

    Returns:
        One half where lines are less than a third of it, then less and less, at least 0.2.
    """
    return min(max(_SHARE * (1 - share), _LEAST_ALONG_LINES), HALF)


def line_share(mask: Bool[np.ndarray, "y x"], width_px: float) -> float:
    """Return how much of an object's outline is that of lines, in [0, 1].

    Args:
        mask: The object, at least one pixel.
        width_px: What is narrower is a line, at least 1; nothing that is as small as four of it to both sides is one.

    Source:
        This package's own.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
    part = mask[top : rows[-1] + 2, left : columns[-1] + 2]
    outline = part & np.logical_not(binary_erosion(part, border_value=1))
    if max(rows[-1] - rows[0], columns[-1] - columns[0]) < _LONG * width_px or not outline.any():
        return 0.0
    wide = grey_opening(part.astype(np.uint8), max(1, round(width_px)), mode="nearest") > 0
    return float((outline & ~wide).sum() / outline.sum())


def lines(values: Float[Tensor, "h w"], width_px: int) -> Bool[Tensor, "h w"]:
    """Return where a map is more than twice as high as anything wide is there.

    Args:
        values: At least 0.
        width_px: What is narrower is a line, odd.

    Source:
        Grey opening by a square, as in mathematical morphology; what it is asked for is this package's own.
    """
    reach = width_px // 2
    eroded = -highest_around(-values[None], reach)
    return highest_around(eroded, reach)[0] < _DARKER * values


def raised(
    values: Float[Tensor, "h w"], level: float, lines: Bool[Tensor, "h w"] | None = None, along: float = HALF
) -> Float[Tensor, "h w"]:
    """Return values that are above those of everything else together where they were above a level.

    Args:
        values: In [0, 1]; everything else together has the rest.
        level: In (0, 1).
        lines: Where the level is another one.
        along: That one.

    Returns:
        In [0, 1], rising with them from 0 to 1; at the level the rest of what it was.
    """
    if not _fits_kernel(values):
        return raised_plain(values, level, lines, along)
    # Compiled code is loaded when it is first needed, not whenever this module is imported.
    from selfvos.ops.kernels import levels as kernel

    thin = None if lines is None else lines.contiguous().numpy()
    return torch.from_numpy(kernel.bend(values.contiguous().numpy(), level, thin, along))


def raised_plain(
    values: Float[Tensor, "h w"], level: float, lines: Bool[Tensor, "h w"] | None = None, along: float = HALF
) -> Float[Tensor, "h w"]:
    """Do the same with torch alone, on any device: the kernel's oracle."""
    own = torch.full_like(values, level) if lines is None else torch.where(lines, along, level).to(values)
    below, above = values * (1 - own) / own, 1 - own + (values - own) * own / (1 - own)
    return torch.where(values < own, below, above)


def _mean_above_half(values: Tensor) -> float:
    if _fits_kernel(values):
        from selfvos.ops.kernels import levels as kernel

        return kernel.mean_above(values.contiguous().numpy(), HALF)
    inside = values > HALF
    return float(values[inside].mean()) if inside.any() else HALF


def _fits_kernel(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype == torch.float32
