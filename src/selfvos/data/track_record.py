"""What is kept of a tracked video besides its masks: one line for each frame, and the files' names."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from selfvos.data.mask_png import palette
from selfvos.errors import DataError
from selfvos.types import FrameRecord, ObjectRecord, Tracked, TrackedObject

FORMAT = 1
"""Version of the folder's layout; readers refuse newer ones."""
ABOUT, STATES, OVERLAY, DONE = "track.json", "states.jsonl", "overlay.mp4", "done"
MASKS, GIVEN = "masks", "given"


def record(tracked: Tracked) -> FrameRecord:
    """Return what is kept of one frame."""
    frame = tracked.frame
    found = measured(tracked.mask)
    objects = tuple(
        ObjectRecord(state.id, state.confidence, state.lost, *found.get(state.id, (0, None)))
        for state in tracked.objects
    )
    return FrameRecord(index=frame.index, name=frame.name, seconds=frame.seconds, objects=objects)


def to_line(frame: FrameRecord) -> str:
    """Return a frame's line of `states.jsonl`, with its end."""
    return json.dumps(asdict(frame)) + "\n"


def from_line(line: str) -> FrameRecord:
    """Return the frame of a line of `states.jsonl`.

    Raises:
        ValueError: The line is torn, or of another kind.
    """
    data = json.loads(line)
    try:
        objects = tuple(_object(o) for o in data.pop("objects"))
        return FrameRecord(**data, objects=objects)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a frame's line: {error}") from error


def default_object(id: int, name: str | None = None, colour: tuple[int, int, int] | None = None) -> TrackedObject:
    """Return an object; without a name, under its id, and without a colour, in that which its masks are saved in."""
    red, green, blue = colour or (int(value) for value in palette()[(id - 1) % 255 + 1])
    return TrackedObject(id=id, name=name or f"object {id}", colour=(red, green, blue))


def read_about(folder: Path) -> dict[str, Any] | None:
    """Return what `track.json` says; None where there is none that this product wrote.

    Raises:
        DataError: It was written in a newer layout.
    """
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(about, dict) or about.get("product") != "selfvos":
        return None
    if about.get("format", 0) > FORMAT:
        raise DataError(f"{folder} was written by selfvos {about.get('version')}, which is newer; update selfvos")
    return about


def _object(data: dict[str, Any]) -> ObjectRecord:
    box = data.pop("box")
    return ObjectRecord(**data, box=None if box is None else tuple(box))


def measured(mask: Integer[np.ndarray, "y x"]) -> dict[int, tuple[int, tuple[int, int, int, int]]]:
    """Return area and box of every id of a mask."""
    rows, columns = np.nonzero(mask)
    ids = mask[rows, columns]
    areas = np.bincount(ids, minlength=1)
    first, last = np.full((2, len(areas)), max(mask.shape)), np.full((2, len(areas)), -1)
    for axis, places in enumerate((columns, rows)):
        np.minimum.at(first[axis], ids, places)
        np.maximum.at(last[axis], ids, places)
    left, top, right, bottom = (edge.tolist() for edge in (*first, *(last + 1)))
    return {id: (int(areas[id]), (left[id], top[id], right[id], bottom[id])) for id in np.flatnonzero(areas).tolist()}
