"""How opaque each pixel of a cut-out is."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Real, UInt8
from scipy.ndimage import convolve1d

from selfvos.types import TrackReader

_HALF = 128
_SMOOTHING = (0.25, 0.5, 0.25)


@runtime_checkable
class SoftTrack(Protocol):
    """A track that has soft masks as well."""

    def opacity(self, place: int) -> UInt8[np.ndarray, "y x"]:
        """Return how much of each pixel belongs to any object, 0 to 255, in the frame at this place."""
        ...


def opacity(track: TrackReader, place: int) -> UInt8[np.ndarray, "y x"]:
    """Return the opacity of a cut-out of all objects, 0 to 255.

    The track's own soft mask where it has one. Else the hard mask, with edges smoothed over one pixel on either side;
    what the mask holds is at least 128 and what it does not hold at most 127, so that half opacity is the mask.
    """
    if isinstance(track, SoftTrack):
        return track.opacity(place)
    return smoothed(track.mask(place) > 0)


def smoothed(mask: Bool[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y x"]:
    """Return a mask as opacity with edges one pixel soft on either side; see `opacity`."""
    soft = mask.astype(np.float32)
    for axis in (0, 1):
        # Beyond the border the picture goes on as it ends: an object that is cut off there keeps a hard edge.
        soft = convolve1d(soft, _SMOOTHING, axis=axis, mode="nearest")
    return both_sides(np.rint(soft * 255), mask)


def both_sides(level: Real[np.ndarray, "y x"], mask: Bool[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y x"]:
    """Return levels of 0 to 255 with those of a mask at least half opaque, and all others less."""
    return np.where(mask, np.maximum(level, _HALF), np.minimum(level, _HALF - 1)).astype(np.uint8)
