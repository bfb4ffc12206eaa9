"""A video, the objects in it, what people drew on it, and its track: one folder, for weeks of work."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from selfvos.data.apart import open_apart
from selfvos.data.mask_png import palette
from selfvos.data.source import Source
from selfvos.data.track_record import measured
from selfvos.errors import DataError, MaskMismatch, UsageError
from selfvos.projects.edits import Change, EditLog, State, as_line
from selfvos.projects.keyframes import Drawings, Ids
from selfvos.projects.store import TrackStore
from selfvos.storage import exclusive, write_text
from selfvos.types import FrameRecord, ObjectRecord, TrackedObject

ABOUT = "project.json"
"""The file by which a folder is known for a project."""
_FORMAT = 1
_COLOURS = ((255, 92, 92), (64, 156, 255), (88, 200, 110), (255, 190, 60), (178, 120, 255), (60, 205, 200))
"""Easy to tell apart, also for most of those who see colours differently; the palette's colours come after them."""


class Project:
    """A project folder, opened by this process alone.

    Drawing, naming and undoing are kept the moment that they are done; tracked frames as soon as they are there. A
    `Project` is a `TrackReader`: where a frame was drawn on, its mask is the drawing, elsewhere what was tracked.

    Use it as a context manager, or call `close`: until then no other process can open it.
    """

    def __init__(self, folder: Path, *, lock: bool = True) -> None:
        """Open a folder; see `open` and `create`."""
        self.folder = folder
        try:
            self.about: dict[str, Any] = json.loads((folder / ABOUT).read_text("utf-8"))
        except FileNotFoundError:
            raise UsageError(f"no project in {folder}; make one with 'selfvos web VIDEO' or Project.create") from None
        except ValueError as error:
            raise DataError(f"{folder / ABOUT} is damaged ({error}); restore the project folder") from error
        if not _is_whole(self.about):
            raise DataError(f"{folder / ABOUT} is damaged; restore the project folder")
        if self.about["format"] > _FORMAT:
            raise DataError(f"{folder} was made by a newer selfvos; update this one")
        self._stack = ExitStack()
        if lock:
            self._stack.enter_context(exclusive(folder))
        self._log = EditLog(folder / "edits.jsonl")
        self._drawings = Drawings(folder / "drawings")
        self.store = TrackStore(folder / "track")
        """The track."""
        self._source: Source | None = None

    @classmethod
    def create(cls, folder: str | Path, video: str | Path, *, name: str | None = None) -> "Project":
        """Make a project of a video.

        Args:
            folder: A new or an empty folder.
            video: A video file, a stack, or a folder of pictures; it is not copied.
            name: What to call the project; by default as the video.

        Raises:
            UsageError: The folder holds something, or there is no such video.
            BrokenVideo: The video cannot be read.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} holds something already; choose a new folder, or open it with Project.open")
        source = open_apart(video)
        count = source.exact_count() if source.count is None else source.count
        if source.size is None or count is None:
            raise UsageError(f"{video} does not say how large or how long it is; convert it to MP4 first")
        about = {
            "product": "selfvos",
            "format": _FORMAT,
            "name": name or source.name,
            "video": str(Path(video).resolve()),
            "size": list(source.size),
            "fps": source.fps,
            "count": count,
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / ABOUT, json.dumps(about, indent=1) + "\n")
        return cls(folder)

    @classmethod
    def open(cls, folder: str | Path) -> "Project":
        """Open a project that is there.

        Raises:
            UsageError: There is none, or another process has it open.
            DataError: It is damaged, or of a newer version.
        """
        return cls(Path(folder))

    @classmethod
    def look(cls, folder: str | Path) -> "Project":
        """Open a project to read it, or to track into it for the process that has it open."""
        return cls(Path(folder), lock=False)

    def close(self) -> None:
        """Let others open it."""
        self._stack.close()

    def __enter__(self) -> "Project":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def source(self) -> Source:
        """The video; a process of its own decodes it, for nobody knows where people have theirs from.

        Raises:
            UsageError: It is not where it was.
        """
        if self._source is None:
            self._source = open_apart(self.about["video"], fps=self.about["fps"])
        return self._source

    @property
    def name(self) -> str:
        """See `TrackReader`."""
        return self.about["name"]

    @property
    def size(self) -> tuple[int, int]:
        """See `TrackReader`."""
        height, width = self.about["size"]
        return height, width

    @property
    def fps(self) -> float:
        """See `TrackReader`."""
        return self.about["fps"]

    @property
    def count(self) -> int:
        """Frames of the video."""
        return self.about["count"]

    @property
    def state(self) -> State:
        """What was drawn and named, and what can be undone."""
        return self._log.state

    def refresh(self) -> State:
        """Take in what the process that has the project open has done since this one looked, and return the state."""
        return self._log.refresh()

    @property
    def objects(self) -> tuple[TrackedObject, ...]:
        """See `TrackReader`."""
        known = sorted(self.state.objects.items())
        return tuple(TrackedObject(id, one["name"], tuple(one["colour"])) for id, one in known)

    def add_object(self, name: str | None = None, colour: tuple[int, int, int] | None = None) -> TrackedObject:
        """Add an object that nothing is drawn of yet."""
        id = max(self.state.objects, default=0) + 1
        one = _object(id, name, colour)
        self._do([Change("object", id, None, one)], f"add {one['name']}")
        return self.objects[-1]

    def change_object(self, id: int, *, name: str | None = None, colour: tuple[int, int, int] | None = None) -> None:
        """Rename or recolour an object.

        Raises:
            UsageError: There is no such object.
        """
        before = self._known(id)
        new = {"name": name or before["name"], "colour": list(colour or before["colour"])}
        if new != before:
            self._do([Change("object", id, before, new)], f"change {before['name']}")

    def remove_object(self, id: int) -> None:
        """Take an object out of the project and out of all drawings; frames have to be tracked again.

        Raises:
            UsageError: There is no such object.
        """
        gone = self._known(id)
        changes = [Change("object", id, gone, None)]
        for frame, digest in sorted(self.state.keyframes.items()):
            mask = self._drawings.read(digest)
            if (mask == id).any():
                changes.append(Change("keyframe", frame, digest, self._drawings.keep(np.where(mask == id, 0, mask))))
        self._do(changes, f"remove {gone['name']}")

    @property
    def keyframes(self) -> tuple[int, ...]:
        """Frames that were drawn on, in order."""
        return tuple(sorted(self.state.keyframes))

    def keyframe(self, frame: int) -> UInt8[np.ndarray, "y x"] | np.ndarray:
        """Return what was drawn on a frame: object ids, 0 for background.

        Raises:
            UsageError: Nothing was.
        """
        digest = self.state.keyframes.get(frame)
        if digest is None:
            raise UsageError(f"nothing was drawn on frame {frame}")
        return self._drawings.read(digest)

    def draw(self, frame: int, mask: Ids) -> int:
        """Say what the whole of a frame shows; return the new revision.

        Objects that the project does not know are added. What is drawn the same as before changes nothing.

        Args:
            frame: Index of the frame.
            mask: Object ids, 0 for background, at the size of the video.

        Raises:
            UsageError: The video has no such frame.
            MaskMismatch: The mask has another size than the video, or an id is out of range.
        """
        self.check_frame(frame)
        if mask.shape != self.size:
            raise MaskMismatch(f"mask is {_by(mask.shape)}, the video is {_by(self.size)} (height x width)")
        before, after = self.state.keyframes.get(frame), self._drawings.keep(mask)
        new = [int(id) for id in np.unique(mask) if id and int(id) not in self.state.objects]
        changes = [Change("object", id, None, _object(id)) for id in new]
        if before != after:
            changes.append(Change("keyframe", frame, before, after))
        if changes:
            self._do(changes, f"draw on frame {frame}")
        return self.state.revision

    def erase(self, frame: int) -> int:
        """Take back all that was drawn on a frame; return the new revision.

        Raises:
            UsageError: Nothing was.
        """
        digest = self.state.keyframes.get(frame)
        if digest is None:
            raise UsageError(f"nothing was drawn on frame {frame}")
        self._do([Change("keyframe", frame, digest, None)], f"erase frame {frame}")
        return self.state.revision

    def undo(self) -> str | None:
        """Take back the latest edit, and say which; None where there is none."""
        if not self.state.done:
            return None
        about = self.state.done[-1].about
        self._log.append({"undo": True})
        return about

    def redo(self) -> str | None:
        """Do again what was undone last, and say what; None where there is nothing."""
        if not self.state.undone:
            return None
        about = self.state.undone[-1].about
        self._log.append({"redo": True})
        return about

    @property
    def frames(self) -> Sequence[FrameRecord]:
        """See `TrackReader`: frames that were tracked or drawn on."""
        drawn = {frame: self._drawn_record(frame) for frame in self.keyframes}
        tracked = {index: self._tracked_record(index) for index in self.store.frames}
        return tuple(record for _, record in sorted({**tracked, **drawn}.items()))

    def mask(self, place: int) -> UInt8[np.ndarray, "y x"] | np.ndarray:
        """See `TrackReader`."""
        return self.mask_at(self.frames[place].index)

    def mask_at(self, frame: int) -> UInt8[np.ndarray, "y x"] | np.ndarray:
        """Return what a frame shows as far as it is known: drawn, else tracked, else nothing.

        Raises:
            UsageError: The video has no such frame.
        """
        self.check_frame(frame)
        if frame in self.state.keyframes:
            return self.keyframe(frame)
        if frame in self.store.frames:
            mask, gone = self.store.mask(frame), self._gone(frame)
            return np.where(np.isin(mask, gone), mask.dtype.type(0), mask) if gone else mask
        return np.zeros(self.size, np.uint8)

    @property
    def stale(self) -> tuple[int, ...]:
        """Tracked frames that later drawings would change: to be tracked again."""
        return tuple(sorted(index for index in self.store.frames if self._is_stale(index)))

    def _is_stale(self, index: int) -> bool:
        one = self.store.frames[index]
        if index in self.state.keyframes:
            return False
        changed = (frame for frame, revision in self.state.revisions.items() if revision > one.revision)
        return any((index - frame) * one.step >= 0 for frame in changed)

    def _gone(self, frame: int) -> list[int]:
        """Objects that a frame was tracked with and that the project has no more."""
        return [state.id for state in self.store.frames[frame].record.objects if state.id not in self.state.objects]

    def _tracked_record(self, frame: int) -> FrameRecord:
        record, gone = self.store.frames[frame].record, self._gone(frame)
        return replace(record, objects=tuple(one for one in record.objects if one.id not in gone)) if gone else record

    def _drawn_record(self, frame: int) -> FrameRecord:
        mask = self.keyframe(frame)
        objects = []
        seen = measured(mask)
        for id in sorted(self.state.objects):
            area, box = seen.get(id, (0, None))
            objects.append(ObjectRecord(id, float(area > 0), area == 0, area, box))
        return FrameRecord(frame, f"{frame:05d}", frame / self.fps, tuple(objects))

    def _known(self, id: int) -> dict[str, Any]:
        if id not in self.state.objects:
            raise UsageError(f"no object {id} in this project; it has {list(self.state.objects) or 'none'}")
        return self.state.objects[id]

    def check_frame(self, frame: int) -> None:
        """Raise `UsageError` where the video has no such frame."""
        if not 0 <= frame < self.count:
            raise UsageError(f"no frame {frame}; the video has frames 0 to {self.count - 1}")

    def _do(self, changes: Sequence[Change], about: str) -> None:
        self._log.append(as_line(changes, about))


def _object(id: int, name: str | None = None, colour: tuple[int, int, int] | None = None) -> dict[str, Any]:
    own = _COLOURS[id - 1] if id <= len(_COLOURS) else tuple(int(value) for value in palette()[(id - 1) % 255 + 1])
    return {"name": name or f"object {id}", "colour": list(colour or own)}


def _is_whole(about: Any) -> bool:
    """Tell whether all is there that a project says of itself."""
    if not isinstance(about, dict):
        return False
    size = about.get("size")
    numbers = (about.get("format"), about.get("count"), *(size if isinstance(size, list) else ()))
    named = all(isinstance(about.get(name), str) for name in ("name", "video"))
    counted = len(numbers) == 4 and all(isinstance(one, int) and one > 0 for one in numbers)
    return named and counted and isinstance(about.get("fps"), int | float) and 0 < about["fps"] < 10**6


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
