"""Masks on their way to the page and back: runs of equal ids, exact, without a picture's colours in between."""

import numpy as np
from jaxtyping import Integer, UInt16

from selfvos.errors import MaskMismatch

_RUN = np.dtype([("id", "<u2"), ("length", "<u4")])
_HEAD = np.dtype("<u4")


def encode_mask(mask: Integer[np.ndarray, "y x"]) -> bytes:
    """Return height and width, then id and length of each run, row after row; little-endian 4, 4, (2, 4) ... bytes."""
    flat = mask.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    runs = np.empty(len(starts), _RUN)
    runs["id"], runs["length"] = flat[starts], np.diff(np.append(starts, flat.size))
    return np.array(mask.shape, _HEAD).tobytes() + runs.tobytes()


def decode_mask(data: bytes, size: tuple[int, int]) -> UInt16[np.ndarray, "y x"]:
    """Return the mask that `encode_mask` encoded.

    Args:
        data: Its bytes.
        size: Height and width that it must have.

    Raises:
        MaskMismatch: The bytes are no mask, or one of another size.
    """
    if len(data) < 8 or (len(data) - 8) % _RUN.itemsize:
        raise MaskMismatch("these bytes are no mask")
    height, width = (int(side) for side in np.frombuffer(data[:8], _HEAD))
    if (height, width) != size:
        raise MaskMismatch(f"mask is {height}x{width}, the video is {size[0]}x{size[1]} (height x width)")
    runs = np.frombuffer(data[8:], _RUN)
    if int(runs["length"].astype(np.int64).sum()) != height * width:
        raise MaskMismatch("these bytes are no mask: its runs do not fill it")
    return np.repeat(runs["id"], runs["length"]).reshape(height, width)
