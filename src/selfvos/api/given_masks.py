"""The masks that a person drew for a video, read and looked at before the first frame is tracked."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Integer

from selfvos.data.mask_png import DrawnMask, read_drawn, read_mask
from selfvos.errors import MaskMismatch, UsageError

logger = logging.getLogger(__name__)

_MAX_ID = 65535


@dataclass(frozen=True)
class MaskFile:
    """A mask file that shows one object, whose id the person gives: a white mask does not say."""

    path: str | Path
    id: int
    """1 to 65535."""

    def __post_init__(self) -> None:
        if not 1 <= self.id <= _MAX_ID:
            raise UsageError(f"object ids are 1 to {_MAX_ID}, got {self.id} for {self.path}")


GivenMask: TypeAlias = np.ndarray | str | Path | MaskFile
"""Object ids as an array, or a file that holds them."""
Masks: TypeAlias = Mapping[int, GivenMask]
"""Masks by the index of their frame."""
Ids = Integer[np.ndarray, "y x"]


def read_given(masks: Masks, size: tuple[int, int] | None) -> dict[int, Ids]:
    """Read all masks of a video, and settle which object a white one shows.

    The first white mask is object 1. Later ones that do not come with their id are new objects, each with the next id
    that is free, and a warning says which: white says nothing, and a wrong guess would move the first object without
    a word.

    Args:
        masks: Masks by frame index, from 0.
        size: Height and width of the video; None where only its first frame will tell.

    Returns:
        Object ids by frame index, in rising order.

    Raises:
        UsageError: There is no mask, or one file is missing.
        DataError: One cannot be read.
        MaskMismatch: One has another size than the video, or ids that cannot be told; or none shows an object.
    """
    if not masks:
        raise UsageError("no mask; tracking needs the mask of at least one frame")
    drawn = {index: _read(masks[index], index, size) for index in sorted(masks)}
    if not any(mask.ids.any() for mask in drawn.values()):
        first = next(iter(drawn))
        raise MaskMismatch(f"{_called(masks[first], first)} is empty: all pixels are background; draw an object")
    return _with_new_objects(masks, drawn)


def _read(mask: GivenMask, index: int, size: tuple[int, int] | None) -> DrawnMask:
    if isinstance(mask, np.ndarray):
        ids = mask.astype(np.uint8) if mask.dtype == bool else mask
        _check_array(ids, index, size)
        return DrawnMask(ids)
    if isinstance(mask, MaskFile):
        return DrawnMask(read_mask(mask.path, size, as_id=mask.id))
    return read_drawn(mask, size)


def _check_array(ids: np.ndarray, index: int, size: tuple[int, int] | None) -> None:
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise MaskMismatch(f"mask of frame {index} is {ids.dtype} {ids.shape}; expected integer ids (height, width)")
    if size is not None and ids.shape != size:
        raise MaskMismatch(
            f"mask of frame {index} is {ids.shape[0]}x{ids.shape[1]}, the video is {size[0]}x{size[1]} "
            "(height x width); draw it on the frame itself"
        )
    if ids.size and (ids.min() < 0 or ids.max() > _MAX_ID):
        raise MaskMismatch(f"mask of frame {index} has ids {ids.min()} to {ids.max()}; ids are 0 to {_MAX_ID}")


def _with_new_objects(masks: Masks, drawn: dict[int, DrawnMask]) -> dict[int, Ids]:
    given = {index: mask.ids for index, mask in drawn.items()}
    highest = max(int(ids.max(initial=0)) for ids in given.values())
    for index in [index for index, mask in drawn.items() if mask.white][1:]:
        highest += 1
        if highest > _MAX_ID:
            raise MaskMismatch(f"{masks[index]} is a new object, and no id up to {_MAX_ID} is free; give it one")
        logger.warning(
            "%s is white and so taken as a new object, %d; if it is one that was drawn before, say which: %s@%d=ID",
            *(masks[index], highest, masks[index], index),
        )
        given[index] = np.where(given[index] > 0, highest, 0).astype(np.uint8 if highest <= 255 else np.uint16)
    return given


def _called(mask: GivenMask, index: int) -> str:
    if isinstance(mask, np.ndarray):
        return f"the mask of frame {index}"
    return f"mask {mask.path if isinstance(mask, MaskFile) else mask}"
