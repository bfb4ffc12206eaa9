"""Data sets looked through before hours are spent on them, and results made ready for the servers that score them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selfvos.api.tasks.base import task_of
from selfvos.data import submissions
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, LabelledVideo
from selfvos.data.shards import write_shards
from selfvos.data.source import read_image
from selfvos.data.submissions import Archive, spell
from selfvos.data.training_videos import find_training_videos
from selfvos.errors import DataError
from selfvos.evaluation.workers import in_threads
from selfvos.stopping import advising
from selfvos.types import Watch, ignore

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a look at every file of a data set found."""

    protocol: str
    """Name of the benchmark."""
    videos: int
    frames: int
    """Frames of the videos that could be listed."""
    objects: int
    """Objects of the videos that could be listed."""
    faults: tuple[str, ...]
    """What is wrong, one line each; nothing where the copy is whole."""
    notes: tuple[str, ...]
    """What is unusual and does no harm, one line each."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return {**asdict(self), "complete": not self.faults}

    def table(self) -> str:
        """Return the findings, one a line; the last line says that there is no fault, or how many there are."""
        count = f"{self.videos} videos, {self.frames} frames, {self.objects} objects"
        last = f"incomplete: {len(self.faults)} faults in {count}" if self.faults else f"complete: {count}"
        return "\n".join([*self.faults, *(f"note: {note}" for note in self.notes), last])


def check_dataset(benchmark: str, *, root: str | Path, watch: Watch = ignore) -> Inspection:
    """Look at every file that a benchmark needs: whether it is there, can be read, fits, and is the official one.

    Args:
        benchmark: Name of the protocol, such as ``davis-2017-val``.
        root: Folder of the data set.
        watch: Told how many frames are done; see `Watch`.

    Raises:
        UnknownName: No such benchmark.
        DataError: The folder is no copy of the data set at all.
        Stopped: The watch asked for it.
    """
    data = BENCHMARKS.get(benchmark)(Path(root))
    faults = list(data.faults())
    frames, objects, jobs = 0, 0, []
    for video in data.videos:
        try:
            names, ids = video.frame_names, video.objects
        except DataError as error:
            faults.append(str(error))
            continue
        frames, objects = frames + len(names), objects + len(ids)
        faults += _video_faults(data, video)
        pictures = _pictures(video)
        jobs += [(video, name, pictures.get(name)) for name in names]
    with advising("the rest was not looked at; run the same command again"):
        for found in in_threads(lambda job: list(_frame_faults(*job)), jobs, watch=watch, stage="checking"):
            faults += found
    return Inspection(
        protocol=data.name,
        videos=len(data.videos),
        frames=frames,
        objects=objects,
        faults=tuple(dict.fromkeys(faults)),  # a damaged file can be met twice
        notes=tuple(_notes(data)),
    )


def pack_results(
    results: str | Path, benchmark: str, *, root: str | Path, out: str | Path, watch: Watch = ignore
) -> Archive:
    """Write the archive that the official server takes, and validate it.

    Args:
        results: Folder of masks, ``<results>/<video>/<frame>.png``, from any method.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: The zip to write; an older one is replaced once the new one is whole.
        watch: Told how many steps are done; see `Watch`.

    Raises:
        UnknownName: No such benchmark.
        UsageError: No server takes its results.
        DataError: A mask is missing, unreadable or does not fit; the message names it.
    """
    with advising("no archive was written; run the same command again"):
        return submissions.pack(results, BENCHMARKS.get(benchmark)(Path(root)), out, watch=watch)


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Shards that were written."""

    shards: tuple[str, ...]
    videos: int
    left_out: tuple[tuple[str, str], ...]
    """Name and reason of each: folders of frames are no files, and stay out of shards."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    def table(self) -> str:
        """Say it in a few lines."""
        lines = [f"left out: {name} ({reason})" for name, reason in self.left_out[:_NAMED]]
        return "\n".join([*lines, f"{self.videos} videos in {len(self.shards)} shards, {self.shards[0]} the first"])


def pack_videos(videos: str | Path, out: str | Path, *, shard_gb: float = 1.0, watch: Watch = ignore) -> Packed:
    """Pack the video files below a folder into shards that `train` reads.

    Args:
        videos: The folder.
        out: Where the shards go; a folder without any.
        shard_gb: GiB of a shard.
        watch: Told of videos; asked before each.

    Raises:
        UsageError: There is no such folder, or `out` holds shards.
        DataError: There is no video file.
        Stopped: The watch asked; shards that were closed before are whole.
    """
    found, left_out = find_training_videos([Path(videos)], ())
    files = [video for video in found if video.path.is_file() and video.member is None]
    folders = [(video.name, "no video file of its own") for video in found if video not in files]
    shards = write_shards(
        ((video.name, video.path) for video in files), Path(out), shard_bytes=int(shard_gb * 2**30), watch=watch
    )
    return Packed(shards=tuple(str(shard) for shard in shards), videos=len(files), left_out=(*left_out, *folders))


def validate_archive(archive: str | Path, benchmark: str, *, root: str | Path, watch: Watch = ignore) -> Archive:
    """Make sure that the official server can score an archive, whoever wrote it.

    Args:
        archive: The zip.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        watch: Told how many masks are done; see `Watch`.

    Raises:
        UnknownName: No such benchmark.
        UsageError: There is no such file, or no server takes results of this benchmark.
        DataError: Something is missing, unreadable or does not fit; the message names it.
    """
    with advising("the rest was not looked at; run the same command again"):
        return submissions.validate_archive(archive, BENCHMARKS.get(benchmark)(Path(root)), watch=watch)


def _video_faults(data: Benchmark, video: LabelledVideo) -> Iterator[str]:
    try:
        _ = video.frames
    except DataError as error:
        yield str(error)
    lost = [path for path in video.mask_files.values() if not path.is_file()]
    if lost:
        yield f"no mask {lost[0]} ({len(lost)} of {len(video.mask_files)} missing): download the masks"
    elif video.mask_files:
        yield from task_of(data).faults(video)


def _pictures(video: LabelledVideo) -> dict[str, Path]:
    """Return the picture of every frame; none where one is missing, which is told of the whole video."""
    try:
        return dict(zip(video.frame_names, video.frames, strict=True))
    except DataError:
        return {}


def _frame_faults(video: LabelledVideo, name: str, picture: Path | None) -> Iterator[str]:
    size = None
    try:
        size = None if picture is None else read_image(picture).shape[:2]
    except DataError as error:
        yield str(error)
    path = video.mask_files.get(name)
    if path is None or not path.is_file():
        return
    try:
        ids = video.truth(name)
    except DataError as error:
        yield str(error)
        return
    if size is not None and ids.shape != size:
        came, needed = (f"{height}x{width}" for height, width in (ids.shape, size))
        yield f"mask {path} is {came} (height x width), its picture {needed}"
    strange = sorted(set(np.unique(ids).tolist()) - {0, *video.objects, *video.void})
    if strange:
        what = f"id {strange[0]}" if len(strange) == 1 else f"ids {', '.join(map(str, strange))}"
        yield f"mask {path} shows {what}, {video.name} has objects {spell(video.objects)}"


def _notes(data: Benchmark) -> Iterator[str]:
    others = data.unlisted()
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        yield f"not on the list: {', '.join(others[:_NAMED])}{more}"
