"""What every format can do: write a track so that another program reads it, and where it can, read one back."""

import importlib.util
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Integer

from selfvos.data.source import Source
from selfvos.errors import DataError, MissingExtra, UsageError
from selfvos.formats.memory import some_frames
from selfvos.registry import Registry
from selfvos.storage import atomic_folder, atomic_path, write_text
from selfvos.types import Frame, FrameRecord, TrackReader, Watch, go_on, ignore

Part = Literal["masks", "boxes", "measures", "pictures", "names", "colours", "confidence", "times", "indices"]
"""What of a track a file can hold; all of them exactly. `pictures`: what a person sees, in which no ids are left."""

_SAMPLED = 8
_SAMPLED_PICTURES = 24
_MOST_ID = 65535
_MARK = ".selfvos-export"
"""In folders that an export made: only those are replaced."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What writing needs besides the track and the place to write to."""

    stage: str
    """What the watch hears."""
    watch: Watch = ignore
    video: Source | None = None
    """The frames that were tracked, from the first one each time they are asked for; None where none are at hand."""


class Format(ABC):
    """One way to keep tracks."""

    name: ClassVar[str]
    """As registered."""
    holds: ClassVar[frozenset[Part]]
    """What is in it afterwards, exactly."""
    readers: ClassVar[str]
    """Who reads it, in words."""
    suffix: ClassVar[str] = ""
    """Of the file that is written; empty where it is a folder."""
    pictures: ClassVar[Literal["unused", "optional", "required"]] = "unused"
    """Whether the frames of the video are part of it."""
    extra: ClassVar[str] = ""
    """Which extra of this package it needs; empty for none."""
    module: ClassVar[str] = ""
    """What that extra has to bring."""
    most_id: ClassVar[int] = _MOST_ID
    """Highest object id that it holds."""
    reads: ClassVar[bool] = True
    """Whether `read` gives masks back."""

    @final
    def write(
        self,
        track: TrackReader,
        out: Path | str,
        *,
        video: Source | None = None,
        overwrite: bool = False,
        watch: Watch = ignore,
    ) -> None:
        """Write a track, with one frame in memory at a time.

        Args:
            track: What to write.
            out: The file, or the folder, to make. A file takes its name when it is whole; so does a folder.
            video: What was tracked; see `Format.pictures`.
            overwrite: Replace a file that is there, or a folder that an export made; never another folder.
            watch: Told of every frame, and asked between frames whether to go on.

        Raises:
            UsageError: Frames are needed and not given, or `out` has another suffix, or is there already.
            MissingExtra: An optional dependency is missing.
            DataError: The track has no frame, or ids that the format cannot hold.
            Stopped: The watch asked to stop; nothing of it is left.
        """
        out = Path(out)
        self.check(out, has_video=video is not None)
        self._require_fit(track)
        job = Job(stage=f"writing {self.name}", watch=watch, video=None if self.pictures == "unused" else video)
        _refuse_existing(out, overwrite=overwrite)
        with atomic_path(out) if self.suffix else atomic_folder(out, replace=overwrite) as temporary:
            self._write(track, temporary, job)
            if not self.suffix:
                write_text(temporary / _MARK, f"{self.name}\n")

    def check(self, out: Path, *, has_video: bool) -> None:
        """Refuse what cannot be written, before anything is.

        Raises:
            UsageError: Frames are needed and not given, or `out` has another suffix.
            MissingExtra: An optional dependency is missing.
        """
        self.require_extra()
        if self.suffix and out.suffix.lower() != self.suffix:
            raise UsageError(f"{out}: {self.name} is written as {self.suffix}; give a name that ends so")
        if self.pictures == "required" and not has_video:
            raise UsageError(f"{self.name} shows the frames of the video; say where it is (--video)")

    def require_extra(self) -> None:
        """Refuse to go on without the optional dependency.

        Raises:
            MissingExtra: It is not installed.
        """
        if self.module and importlib.util.find_spec(self.module) is None:
            raise MissingExtra(f'{self.name} needs {self.module}: pip install "selfvos[{self.extra}]"')

    def estimate_bytes(self, track: TrackReader, *, video: Source | None = None) -> int:
        """Guess how much space a track will take, by writing a few of its frames.

        Eight frames spread over the video are written, or its first 24 where pictures are part of the format, and
        what they take is multiplied. Films are overestimated: their first frame costs more than the later ones.

        Raises:
            UsageError, MissingExtra, DataError: As `write`.
        """
        count = len(track.frames)
        if self.pictures != "unused" and video is not None:
            places = list(range(min(count, _SAMPLED_PICTURES)))
        else:
            places = sorted(set(np.linspace(0, count - 1, min(count, _SAMPLED)).round().astype(int).tolist()))
        with tempfile.TemporaryDirectory() as folder:
            self.write(some_frames(track, places), Path(folder) / f"sample{self.suffix}", video=video)
            taken = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        return round(taken * count / len(places))

    def recognises(self, path: Path) -> bool:  # noqa: ARG002
        """Say whether a file or folder looks like this format; a look at its head is enough."""
        return False

    def read(self, path: Path | str) -> TrackReader:
        """Read a track; masks are read when they are asked for, so the file must stay where it is.

        Raises:
            UsageError: There is no such file, or the format does not hold masks.
            MissingExtra: An optional dependency is missing.
            DataError: It is damaged, or of another format.
        """
        if not self.reads:
            raise UsageError(f"{self.name} does not hold masks that could be read back; export another format")
        self.require_extra()
        if not Path(path).exists():
            raise UsageError(f"no such file: {path}")
        return self._read(Path(path))

    @abstractmethod
    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        """Write to `out`: a path with the right suffix that is not there yet, or an empty folder."""

    def _read(self, path: Path) -> TrackReader:
        raise NotImplementedError

    def _require_fit(self, track: TrackReader) -> None:
        if not len(track.frames):
            raise DataError(f"{track.name} has no frame; there is nothing to write")
        highest = max((thing.id for thing in track.objects), default=0)
        if highest > self.most_id:
            raise DataError(
                f"{track.name} has object {highest}, {self.name} holds ids up to {self.most_id}; "
                "choose png16, tiff or coco"
            )


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise UsageError(f"{out} is there already; choose another name, or replace it with --overwrite")
    if out.is_dir() and not (out / _MARK).is_file() and any(out.iterdir()):
        raise UsageError(f"{out} holds what no export wrote; move it away, or choose another name")


FORMATS: Registry[type[Format]] = Registry("format", "selfvos.formats")


def each_mask(track: TrackReader, job: Job) -> Iterator[tuple[FrameRecord, Integer[np.ndarray, "y x"]]]:
    """Yield the frames of a track with their masks, telling the watch.

    Raises:
        Stopped: The watch asked to stop.
    """
    total = len(track.frames)
    for place, record in enumerate(track.frames):
        go_on(job.watch)
        yield record, track.mask(place)
        job.watch.tell(job.stage, place + 1, total)


def each_picture(track: TrackReader, job: Job) -> Iterator[tuple[Frame, int]]:
    """Yield the video's frames that were tracked, each with its place in the track, telling the watch.

    Raises:
        DataError: The video ends before the track does, or is of another size.
        Stopped: The watch asked to stop.
    """
    assert job.video is not None
    place, total = 0, len(track.frames)
    for frame in job.video.frames(track.frames[0].index, track.frames[-1].index + 1):
        go_on(job.watch)
        if frame.index != track.frames[place].index:
            continue
        if frame.rgb.shape[:2] != track.size:
            came, wanted = (f"{height}x{width}" for height, width in (frame.rgb.shape[:2], track.size))
            raise DataError(f"the video's frames are {came}, the masks {wanted}; give the video that was tracked")
        yield frame, place
        place += 1
        job.watch.tell(job.stage, place, total)
    if place < total:
        missing = track.frames[place].index
        raise DataError(f"the video ends before frame {missing} of the track; give the video that was tracked")
