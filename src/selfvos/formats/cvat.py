"""What both formats of CVAT have in common: the head of the file, labels, attributes, shapes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from jaxtyping import Bool

from selfvos.data.mask_png import IdMap
from selfvos.data.track_record import default_object
from selfvos.errors import DataError
from selfvos.formats.colours import colour_of
from selfvos.formats.memory import Known, Moment, Track, blank, track_of
from selfvos.formats.polygons import fill
from selfvos.formats.rle import fill_rows
from selfvos.types import TrackReader

ATTRIBUTE = "track_id"
"""Of every shape: the object's id, which CVAT keeps while it numbers tracks anew."""


class Shape(NamedTuple):
    """One object in one frame of a file."""

    number: int
    """The object's id; 0 where the file says none."""
    label: str
    outline: str | Mapping[str, str]
    """Corners as CVAT writes them, or the attributes of a mask."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """All that a file says."""

    name: str
    size: tuple[int, int]
    """Height and width, in pixels."""
    moments: Sequence[Moment]
    shapes: Mapping[int, Sequence[Shape]]
    """By index of the frame."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Colour of each label that has one, as the file says it."""


def head(track: TrackReader, mode: str) -> Iterator[str]:
    """Yield the beginning of a file, line by line.

    Args:
        track: What is written.
        mode: ``interpolation`` for videos, ``annotation`` for images.
    """
    height, width = track.size
    count = track.frames[-1].index + 1
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta><task>\n'
    yield f"<name>{escape(track.name)}</name><size>{count}</size><mode>{mode}</mode><overlap>0</overlap>\n<labels>\n"
    seen: set[str] = set()
    for thing in track.objects:
        if thing.name in seen:
            continue
        seen.add(thing.name)
        colour = "#{:02x}{:02x}{:02x}".format(*thing.colour)
        yield f"<label><name>{escape(thing.name)}</name><color>{colour}</color><type>any</type><attributes>"
        yield f"<attribute><name>{ATTRIBUTE}</name><mutable>False</mutable><input_type>number</input_type>"
        yield "<default_value>0</default_value><values>0\n65535\n1</values></attribute></attributes></label>\n"
    yield f"</labels>\n<original_size><width>{width}</width><height>{height}</height></original_size>\n"
    yield "</task></meta>\n"


def attribute(number: int) -> str:
    """Return the attribute that says which object a shape is."""
    return f'<attribute name="{ATTRIBUTE}">{number}</attribute>'


def quoted(text: str) -> str:
    """Return a text in quotation marks, for an attribute."""
    return quoteattr(text)


def shape_of(element: Element, label: str) -> Shape | None:
    """Return what a polygon or mask says; None for shapes that are no mask, such as boxes.

    Raises:
        DataError: Its object id is no number.
    """
    if element.tag not in {"polygon", "mask"}:
        return None
    said = next((a.text for a in element.iter("attribute") if a.get("name") == ATTRIBUTE), None) or "0"
    try:
        number = max(0, int(float(said)))
    except ValueError as error:
        raise DataError(f"a shape has the {ATTRIBUTE} {said!r}, which is no number; mend it in CVAT") from error
    outline = element.attrib["points"] if element.tag == "polygon" else dict(element.attrib)
    return Shape(number, label, outline)


def to_track(sheet: Sheet) -> Track:
    """Return the track of a file; where shapes overlap, the later one is in front."""
    names = {shape.number: shape.label for shapes in sheet.shapes.values() for shape in shapes}

    def read(place: int) -> IdMap:
        shapes = sheet.shapes.get(sheet.moments[place].index, ())
        ids = blank(sheet.size, max((shape.number for shape in shapes), default=0))
        for shape in shapes:
            ids[_mask(shape, sheet.size)] = shape.number
        return ids

    shared = {label for label, count in Counter(names.values()).items() if count > 1}
    objects = {
        # Objects that share a label are told apart by colours of their own.
        number: default_object(number, label, None if label in shared else colour_of(sheet.colours.get(label)))
        for number, label in names.items()
    }
    return track_of(read, len(sheet.moments), Known(name=sheet.name, moments=sheet.moments, objects=objects))


def colours_of(task: Element) -> dict[str, str]:
    """Return the colour of each label that the head of a file lists."""
    labels = ((label.findtext("name"), label.findtext("color")) for label in task.iter("label"))
    return {name: colour for name, colour in labels if name and colour}


def size_of(element: Element, path: Path) -> tuple[int, int]:
    """Return height and width that an element says, as children or attributes.

    Raises:
        DataError: It does not.
    """
    found = [element.findtext(side) or element.get(side) or "" for side in ("height", "width")]
    if not all(text.isdecimal() for text in found):
        raise DataError(f"{path} does not say how large the frames are; export it again")
    return int(found[0]), int(found[1])


def _mask(shape: Shape, size: tuple[int, int]) -> Bool[np.ndarray, "y x"]:
    try:
        if isinstance(shape.outline, str):
            corners = [tuple(map(float, pair.split(","))) for pair in shape.outline.split(";")]
            return fill([np.array(corners, np.float64).reshape(-1, 2)], size)
        left, top, width, height = (int(shape.outline[side]) for side in ("left", "top", "width", "height"))
        counts = [int(run) for run in shape.outline["rle"].split(",")]
    except (ValueError, KeyError) as error:
        raise DataError(f"a shape of {shape.label} is damaged ({error}); export it again") from error
    if min(left, top) < 0 or left + width > size[1] or top + height > size[0]:
        raise DataError(f"a mask of {shape.label} reaches out of its frame; export it again")
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = fill_rows(counts, (height, width))
    return mask
