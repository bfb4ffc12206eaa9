"""Masks of a tracked video as rows of a table: what is known of each object in each frame, with its pixels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from selfvos.data.track_record import record
from selfvos.errors import DataError
from selfvos.formats.rle import compress, counts_of_each, decompress, places_down_columns
from selfvos.types import Tracked


@dataclass(frozen=True)
class MaskRow:
    """One object in one frame."""

    frame: int
    """Position in the video, from 0."""
    seconds: float
    """Presentation time from the start of the video."""
    object: int
    """As drawn, at least 1."""
    confidence: float
    """Mean probability over the pixels given to the object, in [0, 1]; 0 where it has none."""
    lost: bool
    area: int
    """Pixels of the object."""
    left: int
    """Of the box that encloses it; all four are 0 where it has no pixel."""
    top: int
    right: int
    """The first pixel outside."""
    bottom: int
    height: int
    """Of the frame, in pixels."""
    width: int
    rle: str
    """COCO's compressed run lengths over the whole frame: what pycocotools calls ``counts``; empty with no pixel."""


def mask_rows(tracked: Tracked) -> list[MaskRow]:
    """Return the rows of one frame, by rising object."""
    known = record(tracked)
    height, width = tracked.mask.shape
    counts = counts_of_each(tracked.mask)
    return [
        MaskRow(
            known.index,
            known.seconds,
            one.id,
            one.confidence,
            one.lost,
            one.area,
            *(one.box or (0, 0, 0, 0)),
            height,
            width,
            compress(counts[one.id]) if one.id in counts else "",
        )
        for one in sorted(known.objects, key=lambda one: one.id)
    ]


def mask_of_row(row: MaskRow) -> UInt8[np.ndarray, "y x"]:
    """Return the pixels of one row: 1 where the object is.

    Raises:
        DataError: The run lengths are damaged.
    """
    mask = np.zeros(row.height * row.width, np.uint8)
    if row.rle:
        mask[places_down_columns(decompress(row.rle), (row.height, row.width))] = 1
    if int(mask.sum()) != row.area:
        raise DataError(f"frame {row.frame}, object {row.object}: {mask.sum()} pixels, {row.area} are recorded")
    return np.ascontiguousarray(mask.reshape(row.width, row.height).T)
