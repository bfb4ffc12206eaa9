"""What the tracker remembers: permanent frames for ever, and the latest few in turn."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from selfvos.ops.known_frames import KnownFrames, MatchCache
from selfvos.ops.sparse_labels import SparseLabels, joined, object_means, spliced

ELSEWHERE = -1_000_000
"""Number of a frame that is not one of the walk: farther away than any that is."""


@dataclass(frozen=True)
class Entry:
    """One frame as memory holds it."""

    key: Float[Tensor, "h w c"]
    """What every cell is matched by, of unit length where the settings do not say otherwise."""
    labels: Float[Tensor, "m l"] | SparseLabels
    """Probability of background and of each object in every cell, or in every part of every cell: all parts of the
    background, then all of the first object, and so on. Or the same without the objects that a cell does not show."""
    values: Float[Tensor, "o m v"] | None
    """Mask embedding of each object in every cell; None in pure label propagation."""
    frame: int = 0
    """Number of the frame among all that share a cache."""
    picture: UInt8[Tensor, "y x 3"] | None = None
    """The frame, one pixel for each label; None where labels are not aligned by it."""
    telling: Bool[Tensor, "h w"] | None = None
    """Cells that say more of their surroundings than that they are background; None where all are to be matched."""


@dataclass(frozen=True)
class _Slot:
    """What is known of the entry in one place of the buffers."""

    number: int
    """Of its frame in the walk."""
    frame: int
    """`Entry.frame`."""
    serial: int
    """Tells apart all that was ever stored in this memory."""
    saved: Entry | None = None
    """A copy that a snapshot holds of it."""


@dataclass(frozen=True)
class Remembered:
    """All that a memory holds at one time."""

    entries: tuple[Entry, ...]
    numbers: tuple[int, ...]
    permanent: int
    came: int
    next: int


class Memory:
    """Entries in buffers that matching reads in place: permanent frames first, then a ring of the latest.

    Matching does not care for the order inside the ring. The size depends on the settings, the permanent frames and
    the objects, never on the length of the video.
    """

    def __init__(
        self,
        last: int,
        *,
        permanent: tuple[int, ...] = (0,),
        offsets: tuple[int, ...] | None = None,
        leading: bool = False,
    ) -> None:
        """Make an empty memory.

        Args:
            last: How many of the latest frames it keeps besides the permanent ones; 0 keeps none.
            permanent: Frames that `keep` keeps for ever, numbered in the order in which they come.
            offsets: Which of the latest frames it lends, by age; None for all.
            leading: Channels of keys come in the order of their variance; see `MatchCache`.
        """
        self._last = last
        self._lasting = permanent
        self._offsets = offsets
        self._came = 0
        self._stored = 0
        self._cache = MatchCache(leading=leading)
        self._slots: list[_Slot] = []
        self._permanent = 0
        self._next = 0
        self._keys = torch.empty(0)
        self._labels: Tensor | None = None
        self._sparse: SparseLabels | None = None
        self._values: Tensor | None = None
        self._pictures: Tensor | None = None
        self._telling: Tensor | None = None

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def came(self) -> int:
        """How many frames of the walk have come."""
        return self._came

    @property
    def missing(self) -> int:
        """How many of the latest frames that it could lend have not come yet."""
        lent = len(self.ages) - self._permanent
        return (self._last if self._offsets is None else len(self._offsets)) - lent

    @property
    def oldest(self) -> int:
        """Place among those lent of the frame of the walk that came first."""
        ages = [age if age <= self._came else 0 for age in self.ages]
        return ages.index(max(ages))

    @property
    def ages(self) -> list[int]:
        """How many frames before the coming one each frame came that is lent."""
        ages = [self._came - slot.number for slot in self._slots]
        return ages if self._offsets is None else [ages[place] for place in self._chosen(self._offsets)]

    @property
    def walked(self) -> list[int]:
        """Place in the walk of each frame that is lent, from 0; negative where it is not one of the walk."""
        return [self._came - age for age in self.ages]

    @property
    def content(self) -> tuple[tuple[tuple[int, int], ...], int]:
        """What tells whether two memories lend the same: the frames, when they came, and how many are permanent."""
        return tuple((slot.frame, self._came - slot.number) for slot in self._slots), self._permanent

    @property
    def keys(self) -> Float[Tensor, "n h w c"]:
        """Keys of the frames that are lent."""
        return self._keys[self._places()]

    @property
    def known(self) -> KnownFrames:
        """Which of the frames that are lent were lent before, and how they follow each other."""
        lent = self._slots if self._offsets is None else [self._slots[place] for place in self._chosen(self._offsets)]
        telling = None if self._telling is None else self._telling[self._places()]
        order = sorted(range(len(lent)), key=lambda place: lent[place].number)
        return KnownFrames(self._cache, tuple(slot.serial for slot in lent), telling, tuple(order))

    @property
    def permanent(self) -> Bool[Tensor, " n"]:
        """Which of the frames that are lent are permanent."""
        count = len(self) if self._offsets is None else len(self._chosen(self._offsets))
        return torch.arange(count, device=self._keys.device) < self._permanent

    @property
    def labels(self) -> Float[Tensor, "r l"]:
        """Labels of every cell that is lent."""
        assert self._labels is not None, "asked for whole maps of labels that were never written"
        return self._labels[self._places()].flatten(0, 1)

    @property
    def sparse_labels(self) -> SparseLabels:
        """Labels of every cell that is lent, where they are sparse."""
        assert self._sparse is not None, "asked for sparse labels that were never written"
        places = self._places()
        return (
            self._sparse.part(self._cells(0, len(self)))
            if isinstance(places, slice)
            else joined([self._sparse.part(self._cells(place, place + 1)) for place in places])
        )

    def objects(self, place: int, count: int) -> Float[Tensor, "o h w"]:
        """Return the mean probability of each of so many objects in the cells of a frame that is lent."""
        chosen = range(len(self)) if self._offsets is None else self._chosen(self._offsets)
        grid = self._keys.shape[1], self._keys.shape[2]
        if self._sparse is not None:
            return object_means(self._sparse.part(self._cells(chosen[place], chosen[place] + 1)), count, grid)
        assert self._labels is not None, "asked for labels that were never written"
        return self._labels[chosen[place]].unflatten(1, (count + 1, -1))[:, 1:].mean(dim=2).T.unflatten(1, grid)

    @property
    def pictures(self) -> UInt8[Tensor, "n y x 3"]:
        """The frames that are lent, one pixel for each label."""
        assert self._pictures is not None, "asked for pictures that were never written"
        return self._pictures[self._places()]

    def values(self, object_index: int) -> Float[Tensor, "r v"]:
        """Return one object's mask embedding in every cell that is lent."""
        assert self._values is not None, "asked for mask embeddings that were never written"
        return self._values[object_index][self._places()].flatten(0, 1)

    def keep(self, entry: Entry, *, given: bool = False) -> None:
        """Remember the next frame: for ever if it is to be, or if any is to be and this one's mask was given."""
        lasting = self._came in self._lasting or (given and bool(self._lasting))
        (self.pin if lasting else self.write)(entry)

    def pin(self, entry: Entry) -> None:
        """Remember the next frame for ever."""
        self._pin(entry, self._came)
        self._came += 1

    def add(self, entry: Entry) -> None:
        """Remember a frame for ever that is not one of the walk."""
        self._pin(entry, ELSEWHERE)

    def write(self, entry: Entry) -> None:
        """Remember the next frame until `last` newer ones have come."""
        self._came += 1
        if self._last == 0:
            return
        if len(self) == 0:
            self._allocate(entry)
        place = self._permanent + self._next
        self._slots[place : place + 1] = [self._slot(self._came - 1, entry)]
        self._store(place, entry)
        self._next = (self._next + 1) % self._last

    def forget_recent(self) -> None:
        """Drop all frames that are not permanent."""
        del self._slots[self._permanent :]
        self._next = 0

    def add_objects(self, count: int, *, parts: int = 1) -> None:
        """Make room for objects that no remembered frame shows, whose labels have so many parts in a cell."""
        if not (count and len(self)):
            return
        if self._labels is not None:
            new = self._labels.new_zeros(*self._labels.shape[:2], count * parts)
            self._labels = torch.cat([self._labels, new], dim=2)
        if self._values is not None:
            self._values = torch.cat([self._values, self._values.new_zeros(count, *self._values.shape[1:])])
        self._slots = [replace(slot, saved=None) for slot in self._slots]

    def snapshot(self) -> Remembered:
        """Return all that is remembered; of frames that an earlier snapshot holds nothing is copied again."""
        entries = tuple(slot.saved or self._copy(place) for place, slot in enumerate(self._slots))
        self._slots = [replace(slot, saved=entry) for slot, entry in zip(self._slots, entries, strict=True)]
        numbers = tuple(slot.number for slot in self._slots)
        return Remembered(entries, numbers, self._permanent, self._came, self._next)

    def restore(self, state: Remembered) -> None:
        """Remember what a snapshot holds, and nothing else."""
        pairs = zip(state.numbers, state.entries, strict=True)
        self._slots = [replace(self._slot(number, entry), saved=entry) for number, entry in pairs]
        self._permanent, self._came, self._next = state.permanent, state.came, state.next
        if state.entries:
            self._allocate(state.entries[0], max(1, self._permanent))
        for place, entry in enumerate(state.entries):
            self._store(place, entry)

    def _chosen(self, offsets: tuple[int, ...]) -> list[int]:
        recent = range(self._permanent, len(self))
        chosen = (place for place in recent if self._came - self._slots[place].number in offsets)
        return [*range(self._permanent), *chosen]

    def _places(self) -> slice | list[int]:
        return slice(len(self)) if self._offsets is None else self._chosen(self._offsets)

    def _pin(self, entry: Entry, number: int) -> None:
        if len(self) == 0:
            self._allocate(entry)
        else:
            self._widen(self._permanent)
        self._slots.insert(self._permanent, self._slot(number, entry))
        self._store(self._permanent, entry)
        self._permanent += 1

    def _slot(self, number: int, entry: Entry) -> _Slot:
        self._stored += 1
        return _Slot(number, entry.frame, self._stored)

    def _allocate(self, entry: Entry, permanent: int = 1) -> None:
        # Pages of an empty tensor are taken from the machine only when they are written.
        slots = permanent + self._last
        self._keys = entry.key.new_empty(slots, *entry.key.shape)
        self._sparse = self._labels = None
        if isinstance(entry.labels, Tensor):
            self._labels = entry.labels.new_empty(slots, *entry.labels.shape)
        self._pictures = None if entry.picture is None else entry.picture.new_empty(slots, *entry.picture.shape)
        self._telling = None if entry.telling is None else entry.telling.new_empty(slots, *entry.telling.shape)
        self._values = None
        if entry.values is not None:
            o, m, v = entry.values.shape
            self._values = entry.values.new_empty(o, slots, m, v)

    def _widen(self, place: int) -> None:
        def widen(buffer: Tensor, dim: int) -> Tensor:
            before, after = buffer.split([place, buffer.shape[dim] - place], dim=dim)
            return torch.cat([before, torch.empty_like(buffer.narrow(dim, 0, 1)), after], dim=dim)

        self._keys = widen(self._keys, 0)
        if self._sparse is not None:
            cells = self._cells(place, place)
            self._sparse = spliced(self._sparse, cells, self._sparse.part(self._cells(0, 1)))
        if self._labels is not None:
            self._labels = widen(self._labels, 0)
        if self._values is not None:
            self._values = widen(self._values, 1)
        if self._pictures is not None:
            self._pictures = widen(self._pictures, 0)
        if self._telling is not None:
            self._telling = widen(self._telling, 0)

    def _store(self, place: int, entry: Entry) -> None:
        self._keys[place] = entry.key
        if isinstance(entry.labels, SparseLabels):
            # One block of memory, not one for each frame: what lives long between what does not scatters it.
            before = self._sparse or entry.labels.part(slice(0, 0))
            stop = min(self._cells(0, place + 1).stop, len(before.start) - 1)
            self._sparse = spliced(before, slice(self._cells(place, place).start, stop), entry.labels)
        elif self._labels is not None:
            self._labels[place] = entry.labels
        if self._values is not None and entry.values is not None:
            self._values[:, place] = entry.values
        if self._pictures is not None and entry.picture is not None:
            self._pictures[place] = entry.picture
        if self._telling is not None and entry.telling is not None:
            self._telling[place] = entry.telling

    def _copy(self, place: int) -> Entry:
        values = None if self._values is None else self._values[:, place].clone()
        picture = None if self._pictures is None else self._pictures[place].clone()
        telling = None if self._telling is None else self._telling[place].clone()
        if self._labels is not None:
            labels = self._labels[place].clone()
        else:
            assert self._sparse is not None, "nothing was written here"
            labels = self._sparse.part(self._cells(place, place + 1)).copy()
        frame = self._slots[place].frame
        return Entry(self._keys[place].clone(), labels, values, frame, picture, telling)

    def _cells(self, first: int, last: int) -> slice:
        """Return which cells are those of the frames in places from one to before another."""
        cells = self._keys.shape[1] * self._keys.shape[2]
        return slice(first * cells, last * cells)
