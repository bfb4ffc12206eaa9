"""Masks of data sets and submissions, whose files hold the ids themselves: colours say nothing, 255 may be void."""

import io
import struct
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from selfvos.errors import DataError, MaskMismatch


def read_ids(path: Path, content: bytes | None = None) -> UInt8[np.ndarray, "y x"]:
    """Read the object ids of a palette or grey PNG: the stored numbers, whatever their colours.

    Args:
        path: The file, and its name in messages.
        content: What to read in its place, for files that lie in an archive.

    Raises:
        DataError: The file cannot be read as a picture.
        MaskMismatch: It holds colours instead of ids.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            if image.mode == "LA":  # one annotation of DAVIS 2016 carries an opaque second channel
                return np.asarray(image.getchannel("L"))
            ids = np.asarray(image)
            mode = image.mode
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        reason = "it is no picture" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__
        raise DataError(f"cannot read mask {path}: {reason}; write it again") from error
    if mode not in {"1", "L", "P"}:
        raise MaskMismatch(
            f"mask {path} holds colours ({mode}), not object ids: save it as a palette or 8-bit grey PNG"
        )
    return ids.astype(np.uint8, copy=False)
