"""A video, the objects in it, what people drew on it, and its track: one folder, for weeks of work."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from selfvos.data.apart import open_apart
from selfvos.data.source import Source
from selfvos.data.track_record import measured
from selfvos.errors import DataError, MaskMismatch, UsageError
from selfvos.projects.about import is_whole, new_object
from selfvos.projects.edits import Change, EditLog, State, as_line
from selfvos.projects.keyframes import Drawings, Ids, piece_at, with_id
from selfvos.projects.shown import id_now, mask_now, record_now
from selfvos.projects.store import TrackStore
from selfvos.storage import exclusive, write_text
from selfvos.types import FrameRecord, ObjectRecord, TrackedObject

ABOUT = "project.json"
"""The file by which a folder is known for a project."""
_FORMAT = 1


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
        if not is_whole(self.about):
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
        id = self._free_id()
        one = new_object(id, name, colour)
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
        self._do([Change("object", id, gone, None), *self._redrawn(id, 0)], f"remove {gone['name']}")

    def merge_objects(self, id: int, into: int) -> None:
        """Make an object a part of another one, in drawings and in tracked frames; nothing has to be tracked again.

        After an undo, frames that were tracked with both as one are stale.

        Args:
            id: The object that is no more one of its own.
            into: The other, whose name and colour are kept.

        Raises:
            UsageError: There is no such object, or both are the same.
        """
        if id == into:
            raise UsageError(f"object {id} cannot be merged with itself; name another one")
        gone, kept = self._known(id), self._known(into)
        changes = [Change("object", id, gone, None), Change("merge", id, self.state.merged.get(id), into)]
        self._do([*changes, *self._redrawn(id, into)], f"merge {gone['name']} into {kept['name']}")

    def split_object(self, frame: int, x: int, y: int, *, name: str | None = None) -> TrackedObject:
        """Make the piece of an object that touches a pixel an object of its own; frames after it are stale.

        The frame counts as drawn on from then on.

        Args:
            frame: Index of the frame.
            x: Column of a pixel of the piece.
            y: Its row.
            name: Of the new object.

        Raises:
            UsageError: No object is there, or it is in one piece in this frame.
        """
        mask = self.mask_at(frame)
        height, width = self.size
        id = int(mask[y, x]) if 0 <= x < width and 0 <= y < height else 0
        if not id:
            raise UsageError(f"no object at {x},{y} of frame {frame}; name a pixel of the piece")
        old = self._known(id)
        piece = piece_at(mask, x, y)
        if np.array_equal(piece, mask == id):
            raise UsageError(f"{old['name']} is in one piece in frame {frame}; draw the other part as a new object")
        new = self._free_id()
        digest = self._drawings.keep(with_id(mask, piece, new))
        drawing = Change("keyframe", frame, self.state.keyframes.get(frame), digest)
        self._do([Change("object", new, None, new_object(new, name)), drawing], f"split {old['name']}")
        return next(one for one in self.objects if one.id == new)

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
        # A page that has not heard yet that objects were merged draws the one that is a part of another by now.
        shown = np.unique(mask).tolist()
        mask = mask_now(self.state, mask, [id for id in shown if id_now(self.state, id)])
        before, after = self.state.keyframes.get(frame), self._drawings.keep(mask)
        new = [id for id in shown if id and not id_now(self.state, id)]
        changes = [Change("object", id, None, new_object(id)) for id in new]
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
        tracked = {index: record_now(self.state, one.record) for index, one in self.store.frames.items()}
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
            ids = [one.id for one in self.store.frames[frame].record.objects]
            return mask_now(self.state, self.store.mask(frame), ids)
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
        return any((index - frame) * one.step >= 0 for frame in changed) or self._was_merged(one.revision)

    def _was_merged(self, revision: int) -> bool:
        """Say whether objects that are apart now were one at that revision."""
        spans = (span for id in self.state.objects for span in self.state.together.get(id, ()))
        return any(start <= revision < end for start, end in spans if end is not None)

    def _drawn_record(self, frame: int) -> FrameRecord:
        mask = self.keyframe(frame)
        objects = []
        seen = measured(mask)
        for id in sorted(self.state.objects):
            area, box = seen.get(id, (0, None))
            objects.append(ObjectRecord(id, float(area > 0), area == 0, area, box))
        return FrameRecord(frame, f"{frame:05d}", frame / self.fps, tuple(objects))

    def _redrawn(self, id: int, new: int) -> list[Change]:
        """Return what changes in drawings where an object gets another id."""
        changes = []
        for frame, digest in sorted(self.state.keyframes.items()):
            mask = self._drawings.read(digest)
            if (mask == id).any():
                after = self._drawings.keep(with_id(mask, mask == id, new))
                changes.append(Change("keyframe", frame, digest, after))
        return changes

    def _free_id(self) -> int:
        """Return an id that means nothing yet: neither an object, nor what an object was tracked as."""
        tracked = (object.id for one in self.store.frames.values() for object in one.record.objects)
        return max((*self.state.objects, *self.state.merged, *tracked), default=0) + 1

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


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
