"""Masks that people drew, in place of clusters: what supervised systems learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from selfvos.data.clips import ClipPlan, FrameRange
from selfvos.data.mask_png import read_mask
from selfvos.data.video_cache import VideoCache
from selfvos.errors import DataError


@dataclass(frozen=True)
class TrueMasks:
    """Where the masks of each range lie."""

    frame_ranges: tuple[FrameRange, ...]
    files: dict[int, tuple[Path, ...]]
    """By video: the mask of every frame."""

    def for_clip(self, plan: ClipPlan) -> Int32[np.ndarray, "t y x"]:
        """Return the masks of one planned clip's frames: ids from 0, and -1, which is no object, for background."""
        files = self.files[plan.video]
        return np.stack([read_mask(files[i]).astype(np.int32) - 1 for i in plan.frames])


def find_true_masks(folder: Path, video_cache: VideoCache, usable: Sequence[FrameRange]) -> TrueMasks:
    """Find a mask for every frame that clips may come from.

    Args:
        folder: Holds ``<video>/*.png``, in the order of the frames, under the names of the videos in the library (a
            video file's without its ending).
        video_cache: The videos.
        usable: Where clips may come from.

    Raises:
        DataError: A video has another number of masks than of frames.
    """
    files = {}
    for frame_range in usable:
        cached = video_cache.videos[frame_range.video]
        place = folder / cached.name
        place = place if place.is_dir() else place.with_suffix("")
        masks = tuple(sorted(place.glob("*.png")))
        if len(masks) != len(cached):
            raise DataError(
                f"{cached.name}: {len(cached)} frames and {len(masks)} masks in {place}; true masks need one PNG for "
                "each frame, in the same order"
            )
        files[frame_range.video] = masks
    return TrueMasks(tuple(usable), files)
