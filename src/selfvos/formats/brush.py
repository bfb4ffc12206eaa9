"""Label Studio's run lengths: a picture of four equal samples a pixel, packed into bits."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from selfvos.errors import DataError
from selfvos.formats.rle import counts_of_rows

_SAMPLES = 4
_OPAQUE = 128
_HEAD_BITS = 32 + 5 + 4 * 4
_WORD_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
_LONGEST = 2 ** _LENGTH_BITS[-1]


def encode(mask: Bool[np.ndarray, "y x"]) -> UInt8[np.ndarray, " _"]:
    """Write a mask as Label Studio does.

    Source:
        The rle-pack format: 32 bits say how many samples there are, 5 how many bits each has less one, four times 4
        how many bits the four kinds of length have less one. Then follow runs: one bit (1), the kind of length in
        two bits, the length less one, the sample. Runs of single samples (a bit 0) are read but never written here.
    """
    runs = counts_of_rows(mask) * _SAMPLES
    values = np.where(np.arange(runs.size) % 2 == 1, 255, 0)[runs > 0]
    runs = runs[runs > 0]
    # No length is longer than 16 bits can say: longer runs become several.
    pieces = -(-runs // _LONGEST)
    lengths = np.full(pieces.sum(), _LONGEST)
    lengths[np.cumsum(pieces) - 1] = runs - (pieces - 1) * _LONGEST
    kind = np.searchsorted([2**bits for bits in _LENGTH_BITS[:-1]], lengths)
    width = np.array(_LENGTH_BITS)[kind]
    words = (((4 + kind) << width | (lengths - 1)) << _WORD_BITS) | np.repeat(values, pieces)
    return np.packbits(np.concatenate((_head(mask.size * _SAMPLES), _bits(words, 3 + width + _WORD_BITS))))


def decode(packed: Sequence[int], size: tuple[int, int]) -> Bool[np.ndarray, "y x"]:
    """Read a mask that Label Studio or `encode` wrote: what is more opaque than transparent.

    Args:
        packed: Bytes, 0 to 255.
        size: Height and width of the picture.

    Raises:
        DataError: They are damaged, or of a picture of another size.
    """
    stream = _Stream(packed)
    samples = size[0] * size[1] * _SAMPLES
    count = stream.read(32)
    if count != samples:
        raise DataError(f"a brush mask has {count} samples, its picture {samples} ({size[0]}x{size[1]}); export again")
    word = stream.read(5) + 1
    bits = [stream.read(4) + 1 for _ in range(4)]
    flat = np.zeros(count, bool)
    threshold = _OPAQUE if word == _WORD_BITS else 1
    at = 0
    while at < count:
        repeated, length = stream.read(1), stream.read(bits[stream.read(2)]) + 1
        if at + length > count:
            raise DataError("a brush mask is damaged: a run goes beyond its picture; export it again")
        if repeated:
            flat[at : at + length] = stream.read(word) >= threshold
        else:
            flat[at : at + length] = [stream.read(word) >= threshold for _ in range(length)]
        at += length
    return flat[_SAMPLES - 1 :: _SAMPLES].reshape(size)  # the fourth sample is the opacity


def _head(samples: int) -> UInt8[np.ndarray, " _"]:
    if samples >= 2**32:
        raise DataError(
            f"a picture of {samples // _SAMPLES} pixels is too large for Label Studio's brush; scale it down"
        )
    head = samples << 5 | (_WORD_BITS - 1)
    for bits in _LENGTH_BITS:
        head = head << 4 | (bits - 1)
    return _bits(np.array([head]), np.array([_HEAD_BITS]))


def _bits(words: Int64[np.ndarray, " n"], widths: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, " _"]:
    """Return the lowest so many bits of each word, the highest first, one after the other."""
    places = np.arange(int(widths.max(initial=0)) - 1, -1, -1)
    table = (words[:, None] >> places) & 1
    return table[places < widths[:, None]].astype(np.uint8)


class _Stream:
    """Bits of bytes, read from the front."""

    def __init__(self, packed: Sequence[int]) -> None:
        try:
            self._bytes = bytes(packed)
        except (ValueError, TypeError) as error:
            raise DataError("a brush mask is damaged: it holds what is no byte; export it again") from error
        self._at = 0

    def read(self, bits: int) -> int:
        """Return the next so many bits as a number."""
        end = self._at + bits
        first, last = self._at // 8, -(-end // 8)
        if last > len(self._bytes):
            raise DataError("a brush mask breaks off; export it again")
        self._at = end
        return int.from_bytes(self._bytes[first:last], "big") >> (8 * last - end) & ((1 << bits) - 1)
