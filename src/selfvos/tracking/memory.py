"""What the tracker remembers: pinned frames for ever, and the latest few in turn."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Entry:
    """One frame as memory holds it."""

    key: Float[Tensor, "h w c"]
    """Unit-length key of every cell."""
    labels: Float[Tensor, "m o1"]
    """Probability of background and of each object in every cell."""
    values: Float[Tensor, "o m v"] | None
    """Mask embedding of each object in every cell; None in pure label propagation."""


class Memory:
    """Entries in buffers that matching reads in place: pinned frames first, then a ring of the latest.

    Matching does not care for the order inside the ring. The size depends on the settings, the pinned frames and
    the objects, never on the length of the video.
    """

    def __init__(self, last: int) -> None:
        """Make an empty memory that keeps `last` frames besides the pinned ones (0 keeps none)."""
        self._last = last
        self._pinned = 0
        self._recent = 0
        self._next = 0
        self._keys = torch.empty(0)
        self._labels = torch.empty(0)
        self._values: Tensor | None = None

    def __len__(self) -> int:
        return self._pinned + self._recent

    @property
    def keys(self) -> Float[Tensor, "n h w c"]:
        """Keys of the remembered frames."""
        return self._keys[: len(self)]

    @property
    def permanent(self) -> Bool[Tensor, " n"]:
        """Which of the remembered frames are pinned."""
        return torch.arange(len(self), device=self._keys.device) < self._pinned

    @property
    def labels(self) -> Float[Tensor, "r o1"]:
        """Labels of every remembered cell."""
        return self._labels[: len(self)].flatten(0, 1)

    def values(self, object_index: int) -> Float[Tensor, "r v"]:
        """Return one object's mask embedding in every remembered cell."""
        assert self._values is not None, "asked for mask embeddings that were never written"
        return self._values[object_index, : len(self)].flatten(0, 1)

    def pin(self, entry: Entry) -> None:
        """Remember a frame for ever."""
        if len(self) == 0:
            self._allocate(entry)
        else:
            self._insert(self._pinned)
        self._store(self._pinned, entry)
        self._pinned += 1

    def write(self, entry: Entry) -> None:
        """Remember a frame until `last` newer ones have come; the first frame has to be pinned before."""
        if self._last == 0:
            return
        self._store(self._pinned + self._next, entry)
        self._recent = min(self._recent + 1, self._last)
        self._next = (self._next + 1) % self._last

    def forget_recent(self) -> None:
        """Drop all frames that are not pinned."""
        self._recent = self._next = 0

    def add_objects(self, count: int) -> None:
        """Make room for objects that no remembered frame shows."""
        self._labels = torch.cat([self._labels, self._labels.new_zeros(*self._labels.shape[:2], count)], dim=2)
        if self._values is not None:
            self._values = torch.cat([self._values, self._values.new_zeros(count, *self._values.shape[1:])])

    def _allocate(self, entry: Entry) -> None:
        # Pages of an empty tensor are taken from the machine only when they are written.
        slots = 1 + self._last
        self._keys = entry.key.new_empty(slots, *entry.key.shape)
        self._labels = entry.labels.new_empty(slots, *entry.labels.shape)
        if entry.values is not None:
            o, m, v = entry.values.shape
            self._values = entry.values.new_empty(o, slots, m, v)

    def _insert(self, place: int) -> None:
        def widen(buffer: Tensor, dim: int) -> Tensor:
            before, after = buffer.split([place, buffer.shape[dim] - place], dim=dim)
            return torch.cat([before, torch.empty_like(buffer.narrow(dim, 0, 1)), after], dim=dim)

        self._keys = widen(self._keys, 0)
        self._labels = widen(self._labels, 0)
        if self._values is not None:
            self._values = widen(self._values, 1)

    def _store(self, place: int, entry: Entry) -> None:
        self._keys[place] = entry.key
        self._labels[place] = entry.labels
        if self._values is not None and entry.values is not None:
            self._values[:, place] = entry.values
