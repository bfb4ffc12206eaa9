"""Masks that people drew: kept under a digest of what they show, so that undoing finds every one of them again."""

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from scipy.ndimage import label

from selfvos.data.mask_png import read_mask, write_mask
from selfvos.errors import DataError

Ids = Integer[np.ndarray, "y x"]


class Drawings:
    """A folder of drawings. None is ever changed or taken away: the log of edits names them."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; it is made when the first drawing comes."""
        self.folder = folder

    def keep(self, mask: Ids) -> str:
        """Write a mask unless it is there already, and return its digest.

        Raises:
            MaskMismatch: An id is out of range.
            OutOfSpace: The disk is full.
        """
        digest = mask_digest(mask)
        if not self.path(digest).is_file():
            write_mask(self.path(digest), mask)
        return digest

    def read(self, digest: str) -> UInt8[np.ndarray, "y x"] | np.ndarray:
        """Return a mask.

        Raises:
            DataError: It is gone, or not what it was.
        """
        if not self.path(digest).is_file():
            raise DataError(f"{self.path(digest)} is missing; restore the project folder")
        mask = read_mask(self.path(digest))
        if mask_digest(mask) != digest:
            raise DataError(f"{self.path(digest)} was changed from outside; restore the project folder")
        return mask

    def path(self, digest: str) -> Path:
        """Return where a drawing lies."""
        return self.folder / f"{digest}.png"


def mask_digest(mask: Ids) -> str:
    """Return 24 hexadecimal digits of the SHA-256 of size and ids, whatever type they have."""
    head = f"{mask.shape[0]}x{mask.shape[1]};".encode()
    return hashlib.sha256(head + np.ascontiguousarray(mask, np.uint16).tobytes()).hexdigest()[:24]


def with_id(mask: Ids, where: Bool[np.ndarray, "y x"], id: int) -> Ids:
    """Return a mask with an object in some pixels, of a type that holds its id."""
    kind = np.promote_types(mask.dtype, np.min_scalar_type(id))
    return np.where(where, kind.type(id), mask.astype(kind))


def piece_at(mask: Ids, x: int, y: int) -> Bool[np.ndarray, "y x"]:
    """Return the pixels of the piece, of one id, that a pixel belongs to; pieces that touch at a corner are one."""
    pieces = np.empty(mask.shape, np.int32)
    label(mask == mask[y, x], np.ones((3, 3)), output=pieces)
    return pieces == pieces[y, x]
