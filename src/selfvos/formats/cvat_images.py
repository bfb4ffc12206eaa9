"""CVAT for images 1.1: masks of single frames."""

from collections import defaultdict
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Integer

from selfvos.data.video import DEFAULT_FPS
from selfvos.errors import DataError
from selfvos.formats import cvat
from selfvos.formats.base import FORMATS, Format, Job, Part, each_mask
from selfvos.formats.memory import Moment, Track, measured
from selfvos.formats.rle import counts_of_rows
from selfvos.formats.text import each_element, head
from selfvos.types import ObjectRecord, TrackReader


@FORMATS.register("cvat-images")
class CvatImages(Format):
    """CVAT for images 1.1 (XML): a mask for each object and frame, with the object's id as attribute track_id."""

    name: ClassVar = "cvat-images"
    holds: ClassVar[frozenset[Part]] = frozenset({"masks", "boxes", "names", "indices"})
    readers: ClassVar = "CVAT, for tasks made of images or of a video; datumaro"
    suffix: ClassVar = ".xml"

    def recognises(self, path: Path) -> bool:
        """Say whether it is an XML file of CVAT that has images."""
        start = head(path)
        return b"<annotations>" in start and (b"<image " in start or b"<mode>annotation" in start)

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        height, width = track.size
        names = {thing.id: cvat.quoted(thing.name) for thing in track.objects}
        with out.open("w", encoding="utf-8") as file:
            file.writelines(cvat.head(track, "annotation"))
            for record, ids in each_mask(track, job):
                name = cvat.quoted(f"{record.name}.png")
                file.write(f'<image id="{record.index}" name={name} width="{width}" height="{height}">\n')
                file.writelines(_element(state, names[state.id], ids) for state in measured(ids))
                file.write("</image>\n")
            file.write("</annotations>\n")

    def _read(self, path: Path) -> Track:
        size, name, colours = None, path.stem, {}
        shapes: dict[int, list[cvat.Shape]] = defaultdict(list)
        moments = []
        for element in each_element(path, {"task", "image"}):
            if element.tag == "task":
                name, colours = element.findtext("name") or name, cvat.colours_of(element)
                continue
            this = cvat.size_of(element, path)
            if size not in (None, this):
                raise DataError(f"{path}: images are of several sizes; frames of one video are of one")
            size = this
            said = element.get("id", "")
            index = int(said) if said.isdecimal() else len(moments)
            stem = Path(element.get("name", f"{index:05d}")).stem
            moments.append(Moment(index=index, name=stem, seconds=index / DEFAULT_FPS))
            found = (cvat.shape_of(shape, shape.get("label", "")) for shape in element)
            shapes[index] = [shape for shape in found if shape is not None]
        if size is None:
            raise DataError(f"{path} lists no image; export it as CVAT for images 1.1")
        moments.sort(key=lambda moment: moment.index)
        sheet = cvat.Sheet(name=name, size=size, moments=moments, shapes=_numbered(shapes), colours=colours)
        return cvat.to_track(sheet)


def _numbered(shapes: dict[int, list[cvat.Shape]]) -> dict[int, list[cvat.Shape]]:
    """Give shapes without an object id one for each label, the same in all frames."""
    taken = max((shape.number for those in shapes.values() for shape in those), default=0)
    nameless = dict.fromkeys(shape.label for those in shapes.values() for shape in those if not shape.number)
    numbers = {label: taken + 1 + i for i, label in enumerate(nameless)}
    return {
        frame: [shape if shape.number else shape._replace(number=numbers[shape.label]) for shape in those]
        for frame, those in shapes.items()
    }


def _element(state: ObjectRecord, label: str, ids: Integer[np.ndarray, "y x"]) -> str:
    left, top, right, bottom = state.box or (0, 0, 0, 0)
    runs = counts_of_rows(ids[top:bottom, left:right] == state.id)
    box = f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'
    rle = ", ".join(map(str, runs.tolist()))
    return (
        f'<mask label={label} source="auto" occluded="0" rle="{rle}" {box} z_order="0">'
        f"{cvat.attribute(state.id)}</mask>\n"
    )
