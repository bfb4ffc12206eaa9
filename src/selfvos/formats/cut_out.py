"""What formats have in common that show the frames with everything but the objects transparent."""

from typing import ClassVar

import numpy as np
from jaxtyping import Bool, UInt8
from scipy.ndimage import binary_dilation, find_objects

from selfvos.errors import UsageError
from selfvos.formats.base import Format, Part
from selfvos.formats.opacity import SoftTrack, both_sides, opacity
from selfvos.types import TrackReader

_EVEN = 1e-4
"""Variance of colour below which a window counts as even; hair is seen where it is small."""


class CutOut(Format):
    """A format of pictures with opacity."""

    holds: ClassVar[frozenset[Part]] = frozenset({"pictures"})
    pictures: ClassVar = "required"
    reads: ClassVar = False

    def __init__(self, *, soften_px: int = 0) -> None:
        """Say how soft edges are.

        Args:
            soften_px: How far they may reach to both sides of an outline, in pixels, where the picture itself is soft:
                hair, fur, motion blur. 0 smooths them over one pixel, whatever the picture.

        Raises:
            UsageError: Below 0.
        """
        if soften_px < 0:
            raise UsageError(f"soft edges reach at least 0 pixels, got {soften_px}")
        self.soften_px = soften_px

    def opacity(self, track: TrackReader, place: int, rgb: UInt8[np.ndarray, "y x 3"]) -> UInt8[np.ndarray, "y x"]:
        """Return the opacity of a frame of the track, 0 to 255; a soft mask of the track's own goes first."""
        if not self.soften_px or isinstance(track, SoftTrack):
            return opacity(track, place)
        return soft_edges(rgb, track.mask(place) > 0, self.soften_px)


def soft_edges(
    rgb: UInt8[np.ndarray, "y x 3"], mask: Bool[np.ndarray, "y x"], reach_px: int
) -> UInt8[np.ndarray, "y x"]:
    """Return a mask as opacity whose edges are as soft as the picture's.

    What the mask holds is at least 128, what it does not hold at most 127; farther than `reach_px` from an outline it
    is 255 and 0. No mask has to be kept as a soft one for it.

    Args:
        rgb: The frame.
        mask: What is cut out.
        reach_px: At least 1.

    Source:
        Guided filter with a colour guide as matting from a rough mask, He et al. 2010, section 3; kept to a band.
    """
    hard = np.where(mask, 255, 0).astype(np.uint8)
    around = _around(mask, 3 * reach_px)
    if around is None or mask.all():
        return hard
    inside = mask[around]
    band = np.logical_and(*(binary_dilation(side, iterations=reach_px) for side in (inside, ~inside)))
    level = np.rint(_matte(rgb[around], inside, reach_px) * 255)
    hard[around] = np.where(band, both_sides(level, inside), hard[around])
    return hard


def _matte(rgb: UInt8[np.ndarray, "y x 3"], mask: Bool[np.ndarray, "y x"], reach_px: int) -> np.ndarray:
    import torch  # formats are listed by a server that has no use for it

    from selfvos.ops.guided_filter import guided_filter

    image = torch.from_numpy(np.ascontiguousarray(rgb)).movedim(-1, 0)[None].float() / 255
    soft = torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()
    return guided_filter(image, soft, radius_px=max(2, reach_px), epsilon=_EVEN).clamp(0, 1)[0, 0].numpy()


def _around(mask: Bool[np.ndarray, "y x"], margin: int) -> tuple[slice, slice] | None:
    """Return the part of the picture that holds a mask and a margin, so that a small object costs little."""
    found = find_objects(mask.astype(np.uint8))
    if not found or found[0] is None:
        return None
    rows, columns = (slice(max(0, side.start - margin), side.stop + margin) for side in found[0])
    return rows, columns
