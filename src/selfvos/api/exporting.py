"""Tracks to and from the formats of other programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from selfvos import __version__
from selfvos.data.source import Source, open_source, pictures_of
from selfvos.data.track_folder import TrackFolder, TrackOrigin
from selfvos.data.track_reader import StoredTrack, open_track
from selfvos.data.track_record import ABOUT
from selfvos.errors import DataError, UsageError
from selfvos.formats.base import FORMATS, Format
from selfvos.formats.cut_out import CutOut
from selfvos.formats.memory import some_objects
from selfvos.projects.project import ABOUT as PROJECT
from selfvos.projects.project import Project
from selfvos.types import Frame, ObjectState, Tracked, TrackReader, Watch, go_on, ignore


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A track that was written in another format."""

    path: Path
    format: str
    frames: int
    objects: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return {**asdict(self), "path": str(self.path)}

    def table(self) -> str:
        """Return a line to print."""
        plural = "object" if self.objects == 1 else "objects"
        size = f"{self.bytes / 2**20:.1f} MiB" if self.bytes >= 2**20 else f"{self.bytes / 2**10:.1f} KiB"
        return f"{self.format}: {self.path} holds {self.objects} {plural} in {self.frames} frames ({size})"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What of a track is exported, and how."""

    format: str
    """Name of a format; see `api.names("formats")`."""
    objects: Sequence[int] = ()
    """Ids of the objects; empty for all."""
    video: str | Path | None = None
    """The video that was tracked; by default the one that the track folder names, if it is still there."""
    soften_px: int = 0
    """How far edges of a cut-out may be soft to both sides of its outline, in pixels; 0 smooths them over one."""


def export(
    track: TrackReader | str | Path,
    choice: Choice | str,
    out: str | Path,
    *,
    overwrite: bool = False,
    watch: Watch = ignore,
) -> Exported:
    """Write a track in another format, one frame at a time.

    Args:
        track: The folder of a track or of a project, any file or folder that can be imported, or a track in memory.
        choice: A format's name, or more about what to write.
        out: The file or folder to make; it takes its name when it is whole.
        overwrite: Replace a file that is there, or a folder that an earlier export made; nothing else is replaced.
        watch: Hears of every frame; is asked to go on before each.

    Raises:
        UnknownName: No such format.
        UsageError: There is no such track, `out` is there already or has the wrong suffix, or frames are needed and
            no video is at hand.
        MissingExtra: An optional dependency is missing; the message names the line that installs it.
        DataError: The track is damaged, or does not fit the format or the video.
        Stopped: The watch asked for it; nothing of it is left.
    """
    form, reader, video = _prepared(track, choice)
    out = Path(out)
    form.write(reader, out, video=video, overwrite=overwrite, watch=watch)
    files = [out] if form.suffix else [path for path in out.rglob("*") if path.is_file()]
    return Exported(
        path=out,
        format=form.name,
        frames=len(reader.frames),
        objects=len(reader.objects),
        bytes=sum(path.stat().st_size for path in files),
    )


def check_export(track: TrackReader | str | Path, choice: Choice | str, out: str | Path) -> None:
    """Refuse what `export` would refuse before it has written anything, except what is at `out` already.

    Raises:
        UnknownName, UsageError, MissingExtra, DataError: As `export`.
    """
    form, _, video = _prepared(track, choice)
    form.check(Path(out), has_video=video is not None)


def export_place(format: str, folder: Path) -> Path:
    """Return what an export is called that lies in a folder with others.

    Raises:
        UnknownName: No such format.
        MissingExtra: An optional dependency of it is missing.
    """
    FORMATS.get(format)().require_extra()
    return folder / f"{format}{FORMATS.get(format).suffix}"


def estimate(track: TrackReader | str | Path, choice: Choice | str) -> int:
    """Return about how many bytes an export will take, by writing a few frames into a temporary folder.

    Raises:
        UnknownName, UsageError, MissingExtra, DataError: As `export`.
    """
    form, reader, video = _prepared(track, choice)
    return form.estimate_bytes(reader, video=video)


def read_track(path: str | Path, format: str | None = None) -> TrackReader:
    """Open a track that this or another program wrote. Masks are read when they are asked for.

    Args:
        path: The folder of a track or of a project, or a file or folder of one of the formats.
        format: Which; by default what it looks like.

    Raises:
        UnknownName: No such format.
        UsageError: There is nothing at `path`, it looks like no format, or the format holds no masks.
        DataError: It is damaged.
    """
    path = Path(path)
    if format is not None:
        return FORMATS.get(format)().read(path)
    if (path / ABOUT).is_file():
        return open_track(path)
    if (path / PROJECT).is_file():
        return _tracked_project(path)
    if not path.exists():
        raise UsageError(f"no such file: {path}")
    forms = [FORMATS.get(name)() for name in FORMATS.names()]
    for form in sorted(forms, key=lambda form: form.name == "png"):  # folders of others hold PNGs, too
        if form.reads and form.recognises(path):
            return form.read(path)
    known = ", ".join(form.name for form in forms if form.reads)
    raise UsageError(f"{path} looks like none of {known}; say which it is (--from)")


def import_track(
    path: str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    video: str | Path | None = None,
    overwrite: bool = False,
    watch: Watch = ignore,
) -> StoredTrack:
    """Make a track folder of a track that another program wrote.

    Args:
        path: A file or folder of one of the formats.
        out: A folder, missing or empty.
        format: Which format; by default what `path` looks like.
        video: The video that the masks are of. Without one, the overlay shows them on black. Masks find their frames
            by name, or by number where the format has it; else they are those of frames 0, 1, 2 ...
        overwrite: Replace an earlier track in `out`; nothing else is replaced.
        watch: Hears of every frame; is asked to go on before each.

    Returns:
        The track, read from its folder.

    Raises:
        UnknownName, UsageError, MissingExtra, DataError, Stopped: As `export` and `read_track`.
    """
    track = read_track(path, format)
    source: Source = _Black(track) if video is None else open_source(video, fps=track.fps)
    indices = [record.index for record in track.frames] if video is None else places_in(track, source)
    places = {index: place for place, index in enumerate(indices)}
    origin = TrackOrigin(
        given={},
        names={thing.id: thing.name for thing in track.objects},
        colours={thing.id: thing.colour for thing in track.objects},
        settings={"imported": Path(path).name, "format": format or "as it looks"},
        version=__version__,
    )
    done = 0
    with TrackFolder(out, source, origin, overwrite=overwrite) as folder:
        for frame in source.frames(min(places), max(places) + 1):
            if frame.index in places:
                go_on(watch)
                folder.write(_tracked(track, places[frame.index], frame))
                done += 1
                watch.tell("importing", done, len(places))
        if done < len(places):
            raise DataError(f"{video} ends before {len(places) - done} of the masks; give the video that they are of")
    return open_track(out)


class _Black:
    """The frames of a track without its pictures, as a `Source`."""

    partial, sound, pixel_aspect = False, None, Fraction(1)

    def __init__(self, track: TrackReader) -> None:
        self.name, self.size, self.fps = track.name, track.size, track.fps
        self.count = track.frames[-1].index + 1
        self._track = track

    def exact_count(self) -> int:
        """See `Source`."""
        return self.count

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int | None = None, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Yield those frames that are in the track; see `Source`."""
        picture = np.zeros((*self.size, 3), np.uint8)
        wanted = range(self.count)[start:stop:step]
        for record in self._track.frames[::step]:
            if record.index in wanted:
                yield Frame(rgb=picture, index=record.index, name=record.name, seconds=record.seconds)


def _tracked_project(folder: Path) -> Project:
    project = Project.look(folder)
    if not project.frames:
        raise UsageError(f"nothing was drawn or tracked in {folder} yet; draw and track in 'selfvos web {folder}'")
    return project


def _prepared(track: TrackReader | str | Path, choice: Choice | str) -> tuple[Format, TrackReader, Source | None]:
    chosen = Choice(format=choice) if isinstance(choice, str) else choice
    form = _form(chosen)
    form.require_extra()
    reader = read_track(track) if isinstance(track, str | Path) else track
    video = _video(reader, chosen.video) if form.pictures != "unused" else None
    return form, some_objects(reader, chosen.objects) if chosen.objects else reader, video


def _form(chosen: Choice) -> Format:
    kind = FORMATS.get(chosen.format)
    if not chosen.soften_px:
        return kind()
    if not issubclass(kind, CutOut):
        raise UsageError(f"{chosen.format} has no opacity whose edges could be soft; take prores4444 or rgba")
    return kind(soften_px=chosen.soften_px)


def _video(track: TrackReader, given: str | Path | None) -> Source | None:
    """Return the video of a track, if it is at hand; that of a project is decoded as the project does it."""
    if isinstance(track, Project) and given in (None, track.about["video"]):
        return track.source if given or Path(track.about["video"]).exists() else None
    if given is None and isinstance(track, StoredTrack | Project):
        named = track.about["video"]["path"] if isinstance(track, StoredTrack) else track.about["video"]
        given = named if named and Path(named).exists() else None
    return None if given is None else open_source(given, fps=track.fps)


def places_in(track: TrackReader, source: Source) -> list[int]:
    """Return the index of the frame of a video that each mask is of."""
    names = [record.name for record in track.frames]
    files = pictures_of(source)
    if files is not None:  # all other sources call their frames by their numbers
        by_name = {file.stem: index for index, file in enumerate(files)}
        if all(name in by_name for name in names):
            return [by_name[name] for name in names]
    indices = [record.index for record in track.frames]
    in_turn = indices == list(range(len(indices)))
    if files is None and in_turn and all(name.isdecimal() for name in names):
        numbers = [int(name) for name in names]
        if sorted(set(numbers)) == numbers:
            return numbers
    return indices


def _tracked(track: TrackReader, place: int, frame: Frame) -> Tracked:
    ids = track.mask(place)
    if ids.shape != frame.rgb.shape[:2]:
        came, wanted = (f"{height}x{width}" for height, width in (ids.shape, frame.rgb.shape[:2]))
        raise DataError(f"mask {track.frames[place].name} is {came}, the video's frames are {wanted}")
    states = tuple(ObjectState(state.id, state.confidence, state.lost) for state in track.frames[place].objects)
    return Tracked(frame=frame, mask=ids, objects=states)
