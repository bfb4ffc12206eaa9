"""What the tracker remembers: pinned frames for ever, and the latest few in turn."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Entry:
    """One frame as memory holds it."""

    key: Float[Tensor, "h w c"]
    """What every cell is matched by, of unit length where the settings do not say otherwise."""
    labels: Float[Tensor, "m l"]
    """Probability of background and of each object in every cell, or in every part of every cell: all parts of the
    background, then all of the first object, and so on."""
    values: Float[Tensor, "o m v"] | None
    """Mask embedding of each object in every cell; None in pure label propagation."""


class Memory:
    """Entries in buffers that matching reads in place: pinned frames first, then a ring of the latest.

    Matching does not care for the order inside the ring. The size depends on the settings, the pinned frames and
    the objects, never on the length of the video.
    """

    def __init__(self, last: int, *, pinned: tuple[int, ...] = (0,), offsets: tuple[int, ...] | None = None) -> None:
        """Make an empty memory.

        Args:
            last: How many of the latest frames it keeps besides the pinned ones; 0 keeps none.
            pinned: Frames that `keep` pins, numbered in the order in which they come.
            offsets: Which of the latest frames it lends, by age; None for all.
        """
        self._last = last
        self._lasting = pinned
        self._offsets = offsets
        self._came = 0
        self._numbers: list[int] = []
        self._pinned = 0
        self._next = 0
        self._keys = torch.empty(0)
        self._labels = torch.empty(0)
        self._values: Tensor | None = None

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def missing(self) -> int:
        """How many of the latest frames that it could lend have not come yet."""
        lent = len(self.ages) - self._pinned
        return (self._last if self._offsets is None else len(self._offsets)) - lent

    @property
    def oldest(self) -> int:
        """Place of the frame that came first among those that are lent."""
        ages = self.ages
        return ages.index(max(ages))

    @property
    def ages(self) -> list[int]:
        """How many frames before the coming one each frame came that is lent."""
        ages = [self._came - number for number in self._numbers]
        return ages if self._offsets is None else [ages[place] for place in self._chosen(self._offsets)]

    @property
    def frames(self) -> tuple[tuple[int, ...], int]:
        """Which frames are remembered, by number, in their places, and how many of them are pinned."""
        return tuple(self._numbers), self._pinned

    @property
    def keys(self) -> Float[Tensor, "n h w c"]:
        """Keys of the frames that are lent."""
        return self._keys[self._places()]

    @property
    def permanent(self) -> Bool[Tensor, " n"]:
        """Which of the frames that are lent are pinned."""
        count = len(self) if self._offsets is None else len(self._chosen(self._offsets))
        return torch.arange(count, device=self._keys.device) < self._pinned

    @property
    def labels(self) -> Float[Tensor, "r l"]:
        """Labels of every cell that is lent."""
        return self._labels[self._places()].flatten(0, 1)

    def values(self, object_index: int) -> Float[Tensor, "r v"]:
        """Return one object's mask embedding in every cell that is lent."""
        assert self._values is not None, "asked for mask embeddings that were never written"
        return self._values[object_index][self._places()].flatten(0, 1)

    def keep(self, entry: Entry, *, given: bool = False) -> None:
        """Remember the next frame: for ever if it is to be pinned, or if any is and this one's mask was given."""
        lasting = self._came in self._lasting or (given and bool(self._lasting))
        (self.pin if lasting else self.write)(entry)

    def pin(self, entry: Entry) -> None:
        """Remember the next frame for ever."""
        if len(self) == 0:
            self._allocate(entry)
        else:
            self._insert(self._pinned)
        self._numbers.insert(self._pinned, self._came)
        self._store(self._pinned, entry)
        self._pinned += 1
        self._came += 1

    def write(self, entry: Entry) -> None:
        """Remember the next frame until `last` newer ones have come."""
        self._came += 1
        if self._last == 0:
            return
        if len(self) == 0:
            self._allocate(entry)
        place = self._pinned + self._next
        self._numbers[place : place + 1] = [self._came - 1]
        self._store(place, entry)
        self._next = (self._next + 1) % self._last

    def forget_recent(self) -> None:
        """Drop all frames that are not pinned."""
        del self._numbers[self._pinned :]
        self._next = 0

    def add_objects(self, count: int, *, parts: int = 1) -> None:
        """Make room for objects that no remembered frame shows, whose labels have so many parts in a cell."""
        self._labels = torch.cat([self._labels, self._labels.new_zeros(*self._labels.shape[:2], count * parts)], dim=2)
        if self._values is not None:
            self._values = torch.cat([self._values, self._values.new_zeros(count, *self._values.shape[1:])])

    def _chosen(self, offsets: tuple[int, ...]) -> list[int]:
        recent = range(self._pinned, len(self))
        return [*range(self._pinned), *(place for place in recent if self._came - self._numbers[place] in offsets)]

    def _places(self) -> slice | list[int]:
        return slice(len(self)) if self._offsets is None else self._chosen(self._offsets)

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
