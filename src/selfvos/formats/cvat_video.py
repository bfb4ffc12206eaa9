"""CVAT for video 1.1: a polygon track for each object, which is the only kind of outline that CVAT tracks."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
from jaxtyping import Int64, Integer

from selfvos.data.video import DEFAULT_FPS
from selfvos.errors import DataError
from selfvos.formats import cvat
from selfvos.formats.base import FORMATS, Format, Job, Part, each_mask
from selfvos.formats.memory import Moment, Track, measured
from selfvos.formats.polygons import one_polygon
from selfvos.formats.text import each_element, head
from selfvos.types import TrackReader


@FORMATS.register("cvat-video")
class CvatVideo(Format):
    """CVAT for video 1.1 (XML): polygon tracks, every frame a keyframe, islands and holes joined by bridges."""

    name: ClassVar = "cvat-video"
    holds: ClassVar[frozenset[Part]] = frozenset({"masks", "names", "indices"})
    readers: ClassVar = "CVAT, for tasks made of a video; datumaro"
    suffix: ClassVar = ".xml"

    def recognises(self, path: Path) -> bool:
        """Say whether it is an XML file of CVAT that has tracks, or is for a video."""
        start = head(path)
        return b"<annotations>" in start and (b"<track " in start or b"interpolation" in start)

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        # Frames come one after the other, the file wants objects one after the other: shapes wait in a file.
        with tempfile.TemporaryFile(dir=out.parent) as waiting, out.open("wb") as file:
            shapes = _Shapes(waiting)
            for record, ids in each_mask(track, job):
                shapes.add(record.index, [thing.id for thing in track.objects], ids)
            for line in cvat.head(track, "interpolation"):
                file.write(line.encode())
            for thing in track.objects:
                if thing.id in shapes.places:
                    label = cvat.quoted(thing.name)
                    file.write(f'<track id="{thing.id}" label={label} source="auto">\n'.encode())
                    shapes.copy(thing.id, file)
                    file.write(b"</track>\n")
            file.write(b"</annotations>\n")

    def _read(self, path: Path) -> Track:
        size, name, frames, colours = None, path.stem, 0, {}
        shapes: dict[int, list[cvat.Shape]] = defaultdict(list)
        taken = 0
        for element in each_element(path, {"original_size", "task", "track"}):
            if element.tag == "original_size":
                size = cvat.size_of(element, path)
            elif element.tag == "task":
                name = element.findtext("name") or name
                frames = int(element.findtext("size") or 0)
                colours = cvat.colours_of(element)
            else:
                found = [(int(shape.attrib["frame"]), shape) for shape in element if shape.get("frame", "").isdecimal()]
                taken = max(taken, _add(shapes, element.get("label", ""), found, taken))
        if size is None:
            raise DataError(f"{path} does not say how large the frames are; export it as CVAT for video 1.1")
        indices = sorted(shapes) or range(frames)
        moments = [Moment(index=i, name=f"{i:05d}", seconds=i / DEFAULT_FPS) for i in indices]
        return cvat.to_track(cvat.Sheet(name=name, size=size, moments=moments, shapes=shapes, colours=colours))


def _add(shapes: dict[int, list[cvat.Shape]], label: str, found: list, taken: int) -> int:
    """Add the shapes of one track to their frames; frames where it is outside are there without it."""
    highest = 0
    for frame, element in found:
        those = shapes[frame]
        shape = None if element.get("outside") == "1" else cvat.shape_of(element, label)
        if shape is not None:
            those.append(shape if shape.number else shape._replace(number=taken + 1))
            highest = max(highest, those[-1].number)
    return highest


class _Shapes:
    """Shapes as text in a file, and where those of each object are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = 0
        self.places: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """Begin and length of every shape, by object."""
        self._resting: dict[int, str] = {}
        self._before: dict[int, list[int]] = defaultdict(list)

    def add(self, frame: int, numbers: list[int], ids: Integer[np.ndarray, "y x"]) -> None:
        """Add a frame: the outline of every object in it, and that the others are outside."""
        boxes = {state.id: state.box for state in measured(ids)}
        for number in numbers:
            box = boxes.get(number)
            if box is None:
                self._add_absent(frame, number)
                continue
            left, top, right, bottom = box
            polygon = one_polygon(ids[top:bottom, left:right] == number) + np.array((left, top))
            self._resting[number] = _points(polygon[:3])
            for earlier in self._before.pop(number, ()):
                self._add_absent(earlier, number)
            self._put(number, frame, _points(polygon), outside=0)

    def copy(self, number: int, file: BinaryIO) -> None:
        """Copy an object's shapes into another file, in the order in which they came."""
        for begin, length in self.places[number]:
            self._file.seek(begin)
            file.write(self._file.read(length))

    def _add_absent(self, frame: int, number: int) -> None:
        if number in self._resting:
            # An outline is asked for there as well: three corners of the last one will do.
            self._put(number, frame, self._resting[number], outside=1)
        else:
            self._before[number].append(frame)

    def _put(self, number: int, frame: int, points: str, *, outside: int) -> None:
        text = (
            f'<polygon frame="{frame}" keyframe="1" outside="{outside}" occluded="0" points="{points}" z_order="0">'
            f"{cvat.attribute(number)}</polygon>\n"
        ).encode()
        self._file.write(text)
        self.places[number].append((self._end, len(text)))
        self._end += len(text)


def _points(polygon: Int64[np.ndarray, "_ 2"]) -> str:
    return ";".join(f"{x},{y}" for x, y in polygon.tolist())
