"""One tracked video on disk, written: masks, what is known of every object in every frame, overlay, and origin."""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np

from selfvos.data.mask_png import read_mask, write_mask
from selfvos.data.overlay_video import OverlayVideo, looks_of
from selfvos.data.source import Source
from selfvos.data.track_record import (
    ABOUT,
    DONE,
    FORMAT,
    GIVEN,
    MASKS,
    OVERLAY,
    STATES,
    default_object,
    from_line,
    record,
    to_line,
)
from selfvos.data.track_room import check_room, check_space, clear
from selfvos.data.video_hash import video_hash
from selfvos.data.video_writer import check_fps
from selfvos.errors import OutOfSpace, Stopped, UsageError
from selfvos.storage import write_text
from selfvos.types import Tracked


@dataclass(frozen=True, kw_only=True)
class TrackOrigin:
    """What a track is made from, besides its video."""

    given: Mapping[int, np.ndarray]
    """Masks that a person drew, as ids, by frame index."""
    names: Mapping[int, str] = field(default_factory=dict)
    """What objects are called, by id."""
    colours: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    """Red, green, blue of objects, by id; others have that of the palette."""
    weights: str = ""
    """Name or file of the weights."""
    weights_digest: str = ""
    """SHA-256 over the tensors of the weights."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How it is tracked, as plain data."""
    span: Mapping[str, Any] = field(default_factory=dict)
    """Which frames, in which direction."""
    version: str = ""
    """Version of the product that tracks."""


class TrackFolder:
    """Writes a tracked video, one frame at a time; see `StoredTrack` for reading.

    * ``track.json``: video, objects, weights, settings, and how far the track has come
    * ``states.jsonl``: one line a frame, with confidence, lost, area and box of every object
    * ``masks/<frame>.png``: object ids; a frame's line comes first, and without its mask it does not count
    * ``given/<index>.png``: what a person drew
    * ``overlay.mp4``: frames with masks over them, with the times, pixel shape and sound of the video
    * ``done``: written last, and only when everything is there

    Nothing is lost when the `with` block is left early, by Ctrl-C or an error: masks, states and the overlay of the
    frames so far are whole, and ``track.json`` says how far they reach.
    """

    def __init__(
        self, path: Path | str, source: Source, origin: TrackOrigin | None = None, *, overwrite: bool = False
    ) -> None:
        """Look whether a track can be written here; nothing is written or removed yet.

        Args:
            path: The folder; missing or empty, or that of an earlier track.
            source: The video.
            origin: What else the track is made from.
            overwrite: Remove an earlier track that is there; never anything else.

        Raises:
            UsageError: The folder holds something else, or an earlier track and `overwrite` is not set; or it
                cannot be written to, or is where the video lies.
            OutOfSpace: There is not nearly enough room.
        """
        self.path = Path(path)
        self.written = 0
        """Frames written so far."""
        self.sound = "none"
        """What became of the sound: none, copied, or left out and why."""
        self._source, self._origin = source, origin or TrackOrigin(given={})
        check_fps(source.fps)
        check_room(self.path, source, overwrite=overwrite)
        check_space(self.path, source)
        self._stack = ExitStack()
        self._indices: list[int] = []
        self._ids = {int(id) for mask in self._origin.given.values() for id in np.unique(mask) if id}
        self._size = source.size

    def __enter__(self) -> "TrackFolder":
        clear(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._hash = video_hash(self._source)
        self._write_about("tracking")
        for index, mask in sorted(self._origin.given.items()):
            write_mask(self.path / GIVEN / f"{index:05d}.png", mask)
        self._states: TextIO = self._stack.enter_context((self.path / STATES).open("a", encoding="utf-8"))
        self._overlay = OverlayVideo(self.path / OVERLAY, looks_of(self._source))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gone = self._is_gone()
        try:
            self._finish_overlay(error)
            self._require_folder()
        except Exception as trouble:
            # The exception that is on its way already is the one to hear of.
            if error is None:
                error = trouble
                raise
        finally:
            self._stack.close()
            with suppress(*(() if error is None else (OutOfSpace,))):
                if not gone:  # else there would be a folder again that holds no track
                    self._write_about(_state(error))
        if error is None:
            write_text(self.path / DONE, "")

    def write(self, tracked: Tracked) -> None:
        """Write one frame's line and mask, and add it to the overlay; frames come in order of time, or back from one.

        Raises:
            OutOfSpace: The disk is full; what was written before is whole.
            UsageError: Somebody has removed the folder meanwhile.
            DataError: The frame has another size than the first.
        """
        self._require_folder()
        self._learn(tracked)
        self._states.write(to_line(record(tracked)))
        self._states.flush()
        write_mask(self.path / MASKS / f"{tracked.frame.name}.png", tracked.mask)
        if not self._indices or tracked.frame.index == self._indices[-1] + 1:
            self._overlay.write(tracked.frame, tracked.mask)
        self._indices.append(tracked.frame.index)
        self.written += 1

    def _is_gone(self) -> bool:
        return os.fstat(self._states.fileno()).st_nlink == 0

    def _require_folder(self) -> None:
        """Make sure that the frames so far are still there: else what follows would become a track without them."""
        if self._is_gone():
            raise UsageError(f"{self.path} was removed while it was written; track the video again")

    def _learn(self, tracked: Tracked) -> None:
        new = {state.id for state in tracked.objects} - self._ids
        if self._size is None or new:
            self._size = tracked.frame.rgb.shape[0], tracked.frame.rgb.shape[1]
            self._ids |= new
            self._write_about("tracking")

    def _finish_overlay(self, error: BaseException | None) -> None:
        in_order = self._indices == list(range(min(self._indices, default=0), max(self._indices, default=-1) + 1))
        kind = None if error is None else type(error)
        self._overlay.__exit__(kind, error, None)
        self.sound = self._overlay.sound
        if not in_order:
            self._redraw()

    def _redraw(self) -> None:
        """Draw the overlay anew where frames did not come in order of time."""
        names = {}
        for line in (self.path / STATES).read_text("utf-8").splitlines():
            frame = from_line(line)
            names[frame.index] = frame.name
        first, last = min(self._indices), max(self._indices)
        with OverlayVideo(self.path / OVERLAY, looks_of(self._source)) as video:
            for frame in self._source.frames(first, last + 1):
                if frame.index in names:
                    video.write(frame, read_mask(self.path / MASKS / f"{names[frame.index]}.png"))
        self.sound = video.sound

    def _write_about(self, state: str) -> None:
        origin = self._origin
        tracked = {"frames": self.written, "state": state}
        if self._indices:
            tracked |= {"first": min(self._indices), "last": max(self._indices)}
        about = {
            "product": "selfvos",
            "format": FORMAT,
            "version": origin.version,
            "video": self._video(),
            "objects": [
                asdict(default_object(id, origin.names.get(id), origin.colours.get(id))) for id in sorted(self._ids)
            ],
            "weights": {"name": origin.weights, "digest": origin.weights_digest},
            "settings": dict(origin.settings),
            "range": dict(origin.span),
            "given": sorted(origin.given),
            "tracked": tracked,
            "sound": self.sound,
        }
        write_text(self.path / ABOUT, json.dumps(about, indent=1) + "\n")

    def _video(self) -> dict[str, Any]:
        source = self._source
        height, width = self._size or (None, None)
        digest, of = self._hash or (None, None)
        path = getattr(source, "path", None)
        return {
            "path": None if path is None else str(path),
            "name": source.name,
            "height": height,
            "width": width,
            "fps": source.fps,
            "count": source.count,
            "pixel_aspect": str(source.pixel_aspect),
            "partial": source.partial,
            "sha256": digest,
            "sha256_of": of,
        }


def _state(error: BaseException | None) -> str:
    if error is None:
        return "done"
    if isinstance(error, Stopped | KeyboardInterrupt | GeneratorExit):
        return "stopped"
    return f"failed: {error}"
