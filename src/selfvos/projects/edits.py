"""What was done to a project, as a log that only grows: undo and redo are lines of it, too."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from selfvos.errors import DataError


@dataclass(frozen=True)
class Change:
    """One thing that an edit changed; `None` before it was there, or after it was taken away."""

    kind: Literal["keyframe", "object", "merge"]
    key: int
    """Frame index of a keyframe, id of an object; of a merge, the id that is no more an object of its own."""
    before: Any
    after: Any


@dataclass(frozen=True)
class Edit:
    """What was done in one go, and is undone in one go."""

    changes: tuple[Change, ...]
    about: str
    """In words for a person, such as ``draw on frame 40``."""

    def undone(self) -> "Edit":
        """Return the edit that takes this one back."""
        changes = (Change(c.kind, c.key, c.after, c.before) for c in reversed(self.changes))
        return Edit(tuple(changes), self.about)


@dataclass(frozen=True)
class State:
    """What all edits so far amount to."""

    keyframes: dict[int, str] = field(default_factory=dict)
    """Digest of the drawing by frame index."""
    objects: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Name and colour by id."""
    revisions: dict[int, int] = field(default_factory=dict)
    """When each frame's drawing last changed, also to none: the number of the line that changed it."""
    named: dict[int, int] = field(default_factory=dict)
    """When each object came: the number of the line."""
    merged: dict[int, int] = field(default_factory=dict)
    """Which object each one that was merged is a part of."""
    together: dict[int, tuple[tuple[int, int | None], ...]] = field(default_factory=dict)
    """From which line to which an object was a part of another; the last time has no end yet where it still is."""
    revision: int = 0
    """Lines so far."""
    done: tuple[Edit, ...] = ()
    """What can be undone, the latest last."""
    undone: tuple[Edit, ...] = ()
    """What can be redone, the next one last."""


def after(state: State, line: dict[str, Any]) -> State:
    """Return the state after one more line of the log.

    Raises:
        ValueError: The line is of another kind, or undoes what was never done.
    """
    match line:
        case {"do": edit}:
            edit = _edit(edit)
            new = {change.key for change in edit.changes if change.kind == "object" and change.before is None}
            known = {id: line for id, line in state.named.items() if id not in new}
            return _applied(replace(state, named=known), edit, (*state.done, edit), ())
        case {"undo": True} if state.done:
            *done, last = state.done
            return _applied(state, last.undone(), tuple(done), (*state.undone, last))
        case {"redo": True} if state.undone:
            *undone, last = state.undone
            return _applied(state, last, (*state.done, last), tuple(undone))
    raise ValueError(f"no edit: {line}")


class EditLog:
    """The log on disk. A line is on the disk before `append` returns; one that a crash tore is dropped."""

    def __init__(self, path: Path) -> None:
        """Read what was done so far.

        Raises:
            DataError: A line before the last is damaged.
        """
        self.path = path
        self.state = State()
        whole = 0
        for start, end, line in _lines(path):
            try:
                self.state = after(self.state, json.loads(line))
            except ValueError as error:
                if end is None:  # torn: what it was to say was never confirmed to anyone
                    break
                raise DataError(f"{path} is damaged at byte {start} ({error}); restore the project folder") from error
            if end is None:
                break
            whole = end
        self._whole = whole

    def refresh(self) -> State:
        """Take in whole lines that another process has written since, and return the state.

        Raises:
            DataError: A line is damaged.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(self._whole)
                new = file.read()
        except FileNotFoundError:
            return self.state
        for line in new[: new.rfind(b"\n") + 1].splitlines(keepends=True):
            try:
                self.state = after(self.state, json.loads(line))
            except ValueError as error:
                raise DataError(
                    f"{self.path} is damaged at byte {self._whole} ({error}); restore the project folder"
                ) from error
            self._whole += len(line)
        return self.state

    def append(self, line: dict[str, Any]) -> State:
        """Do what a line says, and keep it.

        Raises:
            ValueError: There is nothing to undo or redo.
        """
        state = after(self.state, line)
        with open(self.path, "ab") as file:
            # Only who writes drops what a crash tore: to others it may be a line that is being written.
            file.truncate(self._whole)
            file.write((json.dumps(line, separators=(",", ":")) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
            self._whole = file.tell()
        self.state = state
        return state


def as_line(changes: Iterable[Change], about: str) -> dict[str, Any]:
    """Return the line that does these changes."""
    return {"do": {"changes": [asdict(change) for change in changes], "about": about}}


def _applied(state: State, edit: Edit, done: tuple[Edit, ...], undone: tuple[Edit, ...]) -> State:
    keyframes, objects, revisions = dict(state.keyframes), dict(state.objects), dict(state.revisions)
    named, merged, together = dict(state.named), dict(state.merged), dict(state.together)
    revision = state.revision + 1
    places = {"keyframe": keyframes, "object": objects, "merge": merged}
    # A drawing of two objects as one says nothing new about where they are: what was tracked from it stays right.
    merging = any(change.kind == "merge" for change in edit.changes)
    for change in edit.changes:
        if change.after is None:
            places[change.kind].pop(change.key, None)
        else:
            places[change.kind][change.key] = change.after
        if change.kind == "keyframe" and not merging:
            revisions[change.key] = revision
        elif change.kind == "object" and change.before is None:
            named.setdefault(change.key, revision)
        elif change.kind == "merge":
            together[change.key] = _times(together.get(change.key, ()), revision, begins=change.after is not None)
    return State(keyframes, objects, revisions, named, merged, together, revision, done, undone)


def _times(
    times: tuple[tuple[int, int | None], ...], revision: int, *, begins: bool
) -> tuple[tuple[int, int | None], ...]:
    if begins:
        return (*times, (revision, None))
    return (*times[:-1], (times[-1][0], revision)) if times else ()


def _edit(data: dict[str, Any]) -> Edit:
    try:
        edit = Edit(tuple(Change(**change) for change in data["changes"]), data["about"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"no edit: {error}") from error
    if not isinstance(edit.about, str) or not all(map(_can_be, edit.changes)):
        raise ValueError("no edit: it holds what no edit does")
    return edit


def _can_be(change: Change) -> bool:
    """Tell whether a change is of a kind that is written: what it holds becomes names of files and of objects."""
    if not isinstance(change.key, int) or change.key < 0:
        return False
    kinds = {"keyframe": _is_digest, "object": _is_object, "merge": _is_id}
    known = kinds.get(change.kind) if isinstance(change.kind, str) else None
    return known is not None and all(one is None or known(one) for one in (change.before, change.after))


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and value.isalnum() and value.isascii()


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_object(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return False
    colour = value.get("colour")
    return isinstance(colour, list | tuple) and len(colour) == 3 and all(isinstance(one, int) for one in colour)


def _lines(path: Path) -> Iterator[tuple[int, int | None, str]]:
    """Yield start, end and text of each line; a last one without its line break has no end."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        stop = len(content) if end < 0 else end
        yield start, None if end < 0 else end + 1, content[start:stop].decode("utf-8", errors="replace")
        start = stop + 1
