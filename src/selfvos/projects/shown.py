"""What a tracked frame shows once objects were taken out of the project, or merged, since it was tracked."""

from dataclasses import replace

from selfvos.projects.edits import State
from selfvos.projects.keyframes import Ids, with_id
from selfvos.types import Box, FrameRecord, ObjectRecord


def id_now(state: State, id: int) -> int:
    """Return the object that an id stands for by now; 0 where that is no more."""
    seen = set[int]()
    while id not in state.objects and id in state.merged and id not in seen:
        seen.add(id)
        id = state.merged[id]
    return id if id in state.objects else 0


def mask_now(state: State, mask: Ids, ids: list[int]) -> Ids:
    """Return a mask by the objects that are there now.

    Args:
        state: Of the project.
        mask: As it was made.
        ids: Those that it may show.
    """
    found = mask
    for id in ids:
        if (now := id_now(state, id)) != id:
            found = with_id(found, mask == id, now)
    return found


def record_now(state: State, record: FrameRecord) -> FrameRecord:
    """Return a frame's record by the objects that are there now; those that were merged are told as one."""
    if all(one.id in state.objects for one in record.objects):
        return record
    groups: dict[int, list[ObjectRecord]] = {}
    for one in record.objects:
        groups.setdefault(id_now(state, one.id), []).append(one)
    groups.pop(0, None)
    return replace(record, objects=tuple(_as_one(id, group) for id, group in sorted(groups.items())))


def _as_one(id: int, group: list[ObjectRecord]) -> ObjectRecord:
    """Return one record for several: confidence is a mean over pixels, so it is weighted by them."""
    if len(group) == 1:
        return replace(group[0], id=id)
    area = sum(one.area for one in group)
    sure = sum(one.confidence * one.area for one in group) / area if area else 0.0
    return ObjectRecord(id, sure, all(one.lost for one in group), area, _around([one.box for one in group]))


def _around(boxes: list[Box | None]) -> Box | None:
    there = [box for box in boxes if box is not None]
    if not there:
        return None
    lefts, tops, rights, bottoms = zip(*there, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
