"""Masks as run lengths, in the three ways that annotation tools write them.

All begin with the length of the background before the first object pixel, which may be 0, and then alternate. They
differ in the order of the pixels and in how the numbers are written: COCO goes down the columns of the frame and has
a compressed text, CVAT goes along the rows of the object's box, Label Studio along the rows of the frame, four equal
samples a pixel, packed into bits (`selfvos.formats.brush`).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, Integer

from selfvos.errors import DataError

Counts = Int64[np.ndarray, " n"]
"""Run lengths, background first."""

_FIVE_BITS, _MORE, _SIGN, _FIRST_CHARACTER = 31, 32, 16, 48


def counts_of_each(ids: Integer[np.ndarray, "y x"]) -> dict[int, Int64[np.ndarray, " _"]]:
    """Return the COCO run lengths, down the columns of the whole frame, of every object at once.

    Args:
        ids: Object ids, 0 for background.

    Returns:
        By rising id; without those that have no pixel.
    """
    flat = np.ascontiguousarray(ids.T).ravel()
    starts, lengths = _runs(flat)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    objects, first = np.unique(values[order], return_index=True)
    groups = np.split(order, first[1:])
    return {
        int(number): _interleaved(starts[group], lengths[group], flat.size)
        for number, group in zip(objects, groups, strict=True)
        if number
    }


def compress(counts: Int64[np.ndarray, " n"]) -> str:
    """Write COCO run lengths as its compressed text.

    Source:
        The format of the COCO API: from the fourth on, the difference to the number two before; each number in groups
        of five bits, the lowest first, with a sixth bit where more follow, as the characters from ``0`` on.
    """
    rest = counts.copy()
    rest[3:] -= counts[1:-2]
    characters, used = [], [np.ones(len(rest), bool)]
    while used[-1].any():
        low, rest = rest & _FIVE_BITS, rest >> 5
        more = np.where(low & _SIGN, rest != -1, rest != 0)
        characters.append(low + _MORE * more + _FIRST_CHARACTER)
        used.append(used[-1] & more)
    text = np.stack(characters, axis=1)[np.stack(used[:-1], axis=1)] if characters else np.empty(0, np.int64)
    return text.astype(np.uint8).tobytes().decode("ascii")


def decompress(text: str) -> Int64[np.ndarray, " _"]:
    """Read the run lengths of COCO's compressed text; see `compress`.

    Raises:
        DataError: It is no such text.
    """
    codes = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if codes.size == 0:
        return codes
    ends = np.flatnonzero((codes & _MORE) == 0)
    if codes.min() < 0 or codes.max() > 63 or ends.size == 0 or ends[-1] != codes.size - 1:
        raise DataError("a run-length text is damaged: it holds other characters, or breaks off; export it again")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 12:
        raise DataError("a run-length text is damaged: it holds a number beyond any picture; export it again")
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((codes & _FIVE_BITS) << shifts, starts)
    numbers -= np.where(codes[ends] & _SIGN, np.left_shift(1, 5 * lengths), 0)
    for series in (slice(1, None, 2), slice(2, None, 2)):
        numbers[series] = np.cumsum(numbers[series])
    return numbers


def fill_columns(counts: Integer[np.ndarray, " n"] | Sequence[int], size: tuple[int, int]) -> Bool[np.ndarray, "y x"]:
    """Return the mask of COCO run lengths.

    Args:
        counts: As `counts_of_each` returns them.
        size: Height and width of the frame.

    Raises:
        DataError: They do not add up to the frame.
    """
    return _filled(counts, size).reshape(size[1], size[0]).T


def counts_of_rows(mask: Bool[np.ndarray, "y x"]) -> Int64[np.ndarray, " _"]:
    """Return the run lengths along the rows of a mask: CVAT's, where it is cut out of its box."""
    _, lengths = _runs(mask.ravel())
    return np.concatenate(([0], lengths)) if mask.size and mask.flat[0] else lengths


def fill_rows(counts: Integer[np.ndarray, " n"] | Sequence[int], size: tuple[int, int]) -> Bool[np.ndarray, "y x"]:
    """Return the mask of run lengths along its rows.

    Args:
        counts: As `counts_of_rows` returns them.
        size: Height and width of what they fill.

    Raises:
        DataError: They do not add up to that.
    """
    return _filled(counts, size).reshape(size)


def _filled(counts: Integer[np.ndarray, " n"] | Sequence[int], size: tuple[int, int]) -> Bool[np.ndarray, " _"]:
    lengths = np.asarray(counts, np.int64)
    # Compared before anything is made of them: a damaged file must not ask for more memory than there is.
    if lengths.size and (lengths.min() < 0 or lengths.max() > size[0] * size[1]):
        raise DataError(f"a run length is out of range for a mask of {size[0]}x{size[1]}; export it again")
    if lengths.sum() != size[0] * size[1]:
        raise DataError(
            f"run lengths add up to {lengths.sum()} pixels, the mask is {size[0]}x{size[1]}; export it again"
        )
    return np.repeat(np.arange(lengths.size) % 2 == 1, lengths)


def _runs(flat: np.ndarray) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return where runs of equal values begin, and their lengths."""
    if not flat.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    return starts, np.diff(starts, append=flat.size)


def _interleaved(
    starts: Int64[np.ndarray, " n"], lengths: Int64[np.ndarray, " n"], total: int
) -> Int64[np.ndarray, " _"]:
    """Put the gaps between an object's runs before them, and what is left after the last."""
    ends = starts + lengths
    counts = np.empty(2 * len(starts), np.int64)
    counts[0::2] = starts - np.concatenate(([0], ends[:-1]))
    counts[1::2] = lengths
    return np.append(counts, total - ends[-1]) if ends[-1] < total else counts
