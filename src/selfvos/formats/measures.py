"""What is measured of every object in every frame: the rows of tables."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from selfvos.formats.base import Job, each_mask
from selfvos.formats.memory import centroids, measured
from selfvos.types import Box, TrackReader


@dataclass(frozen=True, kw_only=True)
class Row:
    """One object in one frame. What does not exist where the object has no pixel, or no past, is None."""

    frame: int
    """Index in the video, from 0."""
    frame_name: str
    seconds: float
    object: int
    name: str
    area_px: int
    centroid_x_px: float | None
    """Mean over the centres of pixels; the first pixel's is at 0.5."""
    centroid_y_px: float | None
    box_left_px: int | None
    box_top_px: int | None
    box_width_px: int | None
    box_height_px: int | None
    speed_px_per_s: float | None
    """How far the centroid came since the tracked frame before, by the time between; None unless it was seen there."""
    confidence: float
    lost: bool


def rows(track: TrackReader, job: Job) -> Iterator[Row]:
    """Yield a row for every object of the track in every frame, frame by frame, by rising id."""
    before: dict[int, np.ndarray] = {}
    seconds_before = math.nan
    for record, ids in each_mask(track, job):
        now = centroids(ids)
        seen = {state.id: state for state in measured(ids)}
        said = {state.id: state for state in record.objects}
        for thing in track.objects:
            i = thing.id
            place = now.get(i)
            yield Row(
                frame=record.index,
                frame_name=record.name,
                seconds=record.seconds,
                object=i,
                name=thing.name,
                area_px=seen[i].area if i in seen else 0,
                centroid_x_px=None if place is None else float(place[0]),
                centroid_y_px=None if place is None else float(place[1]),
                **_box(seen[i].box if i in seen else None),
                speed_px_per_s=_speed(before.get(i), place, record.seconds - seconds_before),
                confidence=said[i].confidence if i in said else float(i in now),
                lost=said[i].lost if i in said else i not in now,
            )
        before, seconds_before = now, record.seconds


def _box(box: Box | None) -> dict[str, int | None]:
    left, top, right, bottom = box or (0, 0, 0, 0)
    sides = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return {f"box_{side}_px": None if box is None else value for side, value in sides.items()}


def _speed(before: np.ndarray | None, now: np.ndarray | None, elapsed: float) -> float | None:
    if before is None or now is None or not elapsed > 0:
        return None
    return float(np.hypot(*(now - before)) / elapsed)
