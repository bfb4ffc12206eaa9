"""A track in memory: what reading a file gives. Masks are read one at a time, when they are asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64, Integer
from scipy.ndimage import find_objects

from selfvos.data.mask_png import IdMap
from selfvos.data.pictures import MOST_PIXELS
from selfvos.data.track_record import default_object
from selfvos.data.video import DEFAULT_FPS
from selfvos.errors import DataError
from selfvos.types import FrameRecord, ObjectRecord, TrackedObject, TrackReader

_MOST_ID = 65535


@dataclass(frozen=True, kw_only=True)
class Track:
    """A `TrackReader` made of records and a function that reads a mask."""

    name: str
    size: tuple[int, int]
    """Height and width, in pixels."""
    fps: float
    objects: tuple[TrackedObject, ...]
    frames: Sequence[FrameRecord]
    read_mask: Callable[[int], IdMap] = field(repr=False)
    """Returns the ids of the frame at a place in `frames`."""

    def mask(self, place: int) -> IdMap:
        """Read object ids, 0 for background, of the frame at this place in `frames`."""
        return self.read_mask(place)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a frame is, and what it is called."""

    index: int
    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a file says of a track besides its masks; what it does not say is made up."""

    name: str
    moments: Sequence[Moment] | None = None
    """Of each mask; by default they are frames 0, 1, 2 ..."""
    fps: float = DEFAULT_FPS
    objects: Mapping[int, TrackedObject] = field(default_factory=dict)
    """By id; other ids that are found are called ``object 3``."""
    confidences: Mapping[tuple[int, int], float] = field(default_factory=dict)
    """By place and id; 1 where nothing is said and the object has pixels."""


def moments_at(fps: float, names: Iterable[str] | None = None, *, count: int = 0) -> list[Moment]:
    """Return evenly spaced moments: one for each name, or `count` of them, called as the frames of a video are."""
    called = [f"{index:05d}" for index in range(count)] if names is None else names
    return [Moment(index=i, name=name, seconds=i / fps) for i, name in enumerate(called)]


def track_of(read_mask: Callable[[int], IdMap], count: int, known: Known) -> Track:
    """Look through masks once, one at a time, and return the track that they are.

    Args:
        read_mask: Returns the ids of a frame by its place, as often as it is asked.
        count: Frames; at least 1.
        known: What is known besides.

    Raises:
        DataError: There is no frame, or they are not all of one size.
    """
    if not count:
        raise DataError(f"{known.name}: no frame in it; export it again")
    first = read_mask(0)
    found: list[tuple[ObjectRecord, ...]] = []
    for place in range(count):
        ids = read_mask(place)
        if ids.shape != first.shape:
            raise DataError(f"{known.name}: the mask of frame {place} is {_by(ids)}, the first is {_by(first)}")
        found.append(measured(ids))
    numbers = sorted({*known.objects, *(record.id for records in found for record in records)})
    objects = tuple(known.objects.get(number) or default_object(number) for number in numbers)
    moments = known.moments or moments_at(known.fps, count=count)
    frames = [
        FrameRecord(
            index=moment.index,
            name=moment.name,
            seconds=moment.seconds,
            objects=_completed(records, numbers, {i: known.confidences.get((place, i), 1.0) for i in numbers}),
        )
        for place, (moment, records) in enumerate(zip(moments, found, strict=True))
    ]
    size = (first.shape[0], first.shape[1])
    return Track(name=known.name, size=size, fps=known.fps, objects=objects, frames=frames, read_mask=read_mask)


def measured(ids: Integer[np.ndarray, "y x"]) -> tuple[ObjectRecord, ...]:
    """Return area and box of every object that has pixels, by rising id; confidence is 1."""
    areas = np.bincount(ids.ravel())
    boxes = find_objects(ids)
    found = []
    for number in np.flatnonzero(areas[1:]) + 1:
        rows, columns = boxes[number - 1]
        box = (columns.start, rows.start, columns.stop, rows.stop)
        found.append(ObjectRecord(id=int(number), confidence=1.0, lost=False, area=int(areas[number]), box=box))
    return tuple(found)


def centroids(ids: Integer[np.ndarray, "y x"]) -> dict[int, Float64[np.ndarray, "2"]]:
    """Return the mean x and y of the pixel centres of every object that has pixels, in pixels."""
    y, x = np.nonzero(ids)
    numbers = ids[y, x]
    areas = np.bincount(numbers)
    sums = np.stack([np.bincount(numbers, weights=values) for values in (x + 0.5, y + 0.5)], axis=1)
    return {int(number): sums[number] / areas[number] for number in np.flatnonzero(areas)}


def blank(size: tuple[int, int], highest: int) -> IdMap:
    """Return a frame without objects, with room for ids up to the highest.

    Raises:
        DataError: Ids beyond 65535, or more pixels than a frame has: a damaged file must not ask for all memory.
    """
    if not 0 < size[0] * size[1] <= MOST_PIXELS or min(size) < 0:
        raise DataError(f"frames of {size[0]}x{size[1]} pixels are out of range; export the file again")
    if highest > _MOST_ID:
        raise DataError(f"object id {highest} is beyond {_MOST_ID}; renumber the objects")
    return np.zeros(size, np.uint8 if highest <= 255 else np.uint16)


def some_frames(track: TrackReader, places: Sequence[int]) -> Track:
    """Return a track of only the frames at these places."""
    return _view(track, frames=[track.frames[place] for place in places], read_mask=lambda i: track.mask(places[i]))


def some_objects(track: TrackReader, wanted: Iterable[int]) -> Track:
    """Return a track of only these objects.

    Raises:
        DataError: One of them is not in it.
    """
    kept = set(wanted)
    strange = sorted(kept - {thing.id for thing in track.objects})
    if strange:
        known = ", ".join(str(thing.id) for thing in track.objects)
        raise DataError(f"{track.name} has no object {strange[0]}; it has {known}")
    frames = [replace(f, objects=tuple(r for r in f.objects if r.id in kept)) for f in track.frames]
    one_dtype = np.array(sorted(kept))

    def read(place: int) -> IdMap:
        ids = track.mask(place)
        return np.where(np.isin(ids, one_dtype), ids, np.zeros((), ids.dtype))

    return replace(
        _view(track, frames=frames, read_mask=read), objects=tuple(thing for thing in track.objects if thing.id in kept)
    )


def _view(track: TrackReader, *, frames: Sequence[FrameRecord], read_mask: Callable[[int], IdMap]) -> Track:
    return Track(
        name=track.name, size=track.size, fps=track.fps, objects=track.objects, frames=frames, read_mask=read_mask
    )


def _completed(
    found: tuple[ObjectRecord, ...], numbers: Sequence[int], confidences: Mapping[int, float]
) -> tuple[ObjectRecord, ...]:
    """Return a record of every object, in order of ids: those without pixels are lost."""
    present = {record.id: record for record in found}
    return tuple(
        replace(present[i], confidence=confidences[i])
        if i in present
        else ObjectRecord(id=i, confidence=0.0, lost=True, area=0, box=None)
        for i in numbers
    )


def _by(ids: np.ndarray) -> str:
    return f"{ids.shape[0]}x{ids.shape[1]}"
