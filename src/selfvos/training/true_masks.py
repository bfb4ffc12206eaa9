"""Masks that people drew, in place of clusters: what supervised systems learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from selfvos.data.clips import ClipPlan, FrameRange
from selfvos.data.kinds import in_order, is_kind, natural
from selfvos.data.mask_png import read_mask
from selfvos.data.video_cache import CachedVideo, VideoCache
from selfvos.errors import DataError


@dataclass(frozen=True)
class TrueMasks:
    """Where the masks of each range lie; a `MaskStore`."""

    frame_ranges: tuple[FrameRange, ...]
    files: dict[int, tuple[Path, ...]]
    """By video: the mask of every frame."""

    def for_clip(self, plan: ClipPlan) -> Int32[np.ndarray, "t y x"]:
        """Return the masks of one planned clip's frames: ids from 0, and -1, which is no object, for background."""
        files = self.files[plan.video]
        return np.stack([read_mask(files[i]).astype(np.int32) - 1 for i in plan.frames])


def find_true_masks(folder: Path, video_cache: VideoCache, usable: Sequence[FrameRange]) -> TrueMasks:
    """Find a mask for every frame that clips may come from.

    A mask belongs to the frame of its name: that of the frame's file, or its number in a video file. Numbers are
    compared as numbers, so that ``3.png`` goes with ``00003.jpg``.

    Args:
        folder: Holds ``<video>/<frame>.png``, under the names that the videos have in the run (a video file's without
            its ending).
        video_cache: The videos.
        usable: Where clips may come from.

    Raises:
        DataError: A frame has no mask, or a mask no frame; both names are told.
    """
    files = {r.video: _masks_of(video_cache.videos[r.video], folder) for r in usable}
    return TrueMasks(tuple(usable), files)


def _masks_of(cached: CachedVideo, folder: Path) -> tuple[Path, ...]:
    place = folder / cached.name
    place = place if place.is_dir() else place.with_suffix("")
    masks = in_order(path for path in place.glob("*") if is_kind(path.name, frozenset({".png"})))
    frames = sorted(cached.frames, key=natural)
    for frame, mask in zip_longest(frames, masks):
        if frame is None or mask is None or natural(frame)[0] != natural(mask.stem)[0]:
            raise DataError(
                f"{cached.name}: {len(frames)} frames and {len(masks)} masks in {place} do not go together: frame "
                f"{frame or 'none'}, mask {mask.name if mask else 'none'}; true masks need one PNG for each frame, "
                "under the frame's name"
            )
    by_frame = dict(zip(frames, masks, strict=True))
    return tuple(by_frame[frame] for frame in cached.frames)
