"""Result masks of a whole benchmark: what a folder of them must hold, and the archive that an official server takes."""

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.data.benchmarks.stored_ids import read_ids
from selfvos.data.mask_png import IdMap, palette
from selfvos.data.source import natural
from selfvos.errors import DataError, MaskMismatch, UsageError
from selfvos.storage import atomic_path
from selfvos.types import Watch, Watching, go_on, ignore

_VOID = 255
_SAME_DATE = (1980, 1, 1, 0, 0, 0)  # the same masks give the same bytes, whenever they are packed


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip of results that is complete and fits its benchmark, ready for the official server."""

    path: Path
    protocol: str
    """Name of the benchmark."""
    note: str
    """What sets it apart from the published protocol; empty where nothing does."""
    videos: int
    frames: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return {**asdict(self), "path": str(self.path), "validated": True}

    def table(self) -> str:
        """Return a line to print."""
        note = f" ({self.note})" if self.note else ""
        return (
            f"{self.protocol}{note}: {self.path} holds {self.frames} masks of {self.videos} videos, all validated; "
            "only the official server can score them: submit it there"
        )


def require_complete(benchmark: Benchmark, folder: Path, frames_of: Callable[[LabelledVideo], tuple[str, ...]]) -> None:
    """Refuse a folder of results in which a video or a frame is missing.

    Args:
        benchmark: Lists the videos.
        folder: Must hold ``<video>/<frame>.png``; more than needed does no harm.
        frames_of: Gives the names of the frames that a video's results need.

    Raises:
        DataError: Something is missing, or the folder is one level away from the results.
    """
    _require_videos(benchmark, folder)
    for video in benchmark.videos:
        _require_frames(frames_of(video), folder / video.name)


def require_fit(place: Path, result: IdMap, video: LabelledVideo, size: tuple[int, ...]) -> None:
    """Refuse a result mask that has another size than its annotation, or a label that is no object of the video.

    Args:
        place: The mask's name in messages.
        result: Ids, 0 for background.
        video: Knows the objects.
        size: Height and width of the annotation, in pixels.

    Raises:
        MaskMismatch: It does not fit.
    """
    if result.shape != size:
        came, needed = (f"{height}x{width}" for height, width in (result.shape, size))
        raise MaskMismatch(f"mask {place} is {came} (height x width), its annotation {needed}; write it that size")
    strange = _stranger(result, video.objects)
    if strange is not None:
        what = "255 (void, which results must not hold)" if strange == _VOID else str(strange)
        raise MaskMismatch(
            f"mask {place} holds label {what}, {video.name} has objects {spell(video.objects)}; write the ids of the "
            "given masks, 0 for background"
        )


def pack(results: Path | str, benchmark: Benchmark, out: Path | str, *, watch: Watch = ignore) -> Archive:
    """Write the archive that the official server takes: all required frames and nothing else, as palette PNGs.

    Args:
        results: Holds ``<video>/<frame>.png`` with the ids of the given masks.
        benchmark: What was tracked.
        out: The zip to write; an older one is replaced once the new one has passed `validate_archive`.
        watch: Told how many masks are done, of packing and then of validating; see `Watch`.

    Returns:
        What was written.

    Raises:
        UsageError: No server takes results of this benchmark.
        DataError: A mask is missing, unreadable or does not fit; the message names it.
        OutOfSpace: The disk is full.
        Stopped: The watch asked for it; an older archive is untouched.
    """
    prefix, folder, out = _prefix(benchmark), Path(results), Path(out)
    require_complete(benchmark, folder, lambda video: video.required)
    jobs = list(_required(benchmark))
    with atomic_path(out) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for done, (video, frame) in enumerate(jobs, start=1):
                entry = zipfile.ZipInfo(f"{prefix}{video.name}/{frame}.png", _SAME_DATE)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, _palette_png(folder / video.name / f"{frame}.png"))
                watch.tell("packing", done, 2 * len(jobs))
                go_on(watch)
        with zipfile.ZipFile(temporary) as archive:
            count = len(jobs)
            second = Watching(lambda _, done, __: watch.tell("packing", count + done, 2 * count), watch.stopped)
            _validate(archive, benchmark, folder, second)
    return _archive(out, benchmark)


def validate_archive(path: Path | str, benchmark: Benchmark, *, watch: Watch = ignore) -> Archive:
    """Make sure that the official server can score an archive, whoever wrote it.

    Args:
        path: The zip; more frames than required do no harm.
        benchmark: What was tracked.
        watch: Told how many masks are done; see `Watch`.

    Returns:
        What was checked.

    Raises:
        UsageError: There is no such file, or no server takes results of this benchmark.
        DataError: A video or frame is missing or lies elsewhere, or a mask is unreadable, is no palette PNG, has
            another size than its annotation, or holds a label that is no object; the message names the file.
        Stopped: The watch asked for it.
    """
    path, prefix = Path(path), _prefix(benchmark)
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            _require_members(archive, path, benchmark)
            _validate(archive, benchmark, path / prefix, watch)
    except (zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise DataError(f"{path} is no whole zip archive ({error}): pack it again") from error
    return _archive(path, benchmark)


def spell(objects: Sequence[int]) -> str:
    """Return ids as text: ``1 to 3``, or a list where they have gaps."""
    return f"1 to {objects[-1]}" if len(objects) == objects[-1] else ", ".join(map(str, objects))


def _require_videos(benchmark: Benchmark, folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"no folder of results {folder}: give the folder that holds one folder per video")
    names = [video.name for video in benchmark.videos]
    absent = [name for name in names if not (folder / name).is_dir()]
    if not absent:
        return
    if len(absent) == len(names):
        _require_depth(folder, names)
    raise DataError(
        f"no results {folder / absent[0]} ({len(absent)} of {len(names)} videos missing): {benchmark.name} needs all"
    )


def _require_depth(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder that is one level away from the results, naming the right one."""
    inside = [child for child in sorted(folder.iterdir()) if any((child / name).is_dir() for name in names)]
    if inside:
        raise DataError(f"results in {folder} lie one level deeper: give {inside[0]}")
    if folder.resolve().name in names:
        raise DataError(f"{folder} is one video's results: give its parent {folder.resolve().parent}")


def _require_frames(frames: Sequence[str], folder: Path) -> None:
    present = set(os.listdir(folder))
    absent = [name for name in frames if f"{name}.png" not in present]
    if absent:
        others = sorted(present - {f"{name}.png" for name in frames}, key=natural)
        there = f", and there is {others[0]}" if others else ""
        raise DataError(
            f"no result {folder / absent[0]}.png ({len(absent)} of {len(frames)} frames missing){there}: "
            "write one PNG per frame, named like the frame"
        )


def _require_members(archive: zipfile.ZipFile, path: Path, benchmark: Benchmark) -> None:
    prefix, members = _prefix(benchmark), set(archive.namelist())
    present = {member.removeprefix(prefix).partition("/")[0] for member in members if member.startswith(prefix)}
    absent = [video.name for video in benchmark.videos if video.name not in present]
    if len(absent) == len(benchmark.videos):
        _require_top(members, path, benchmark)
    if absent:
        count = f"{len(absent)} of {len(benchmark.videos)} videos missing"
        raise DataError(f"no folder {prefix}{absent[0]} in {path} ({count}): the server scores all")
    for video in benchmark.videos:
        lost = [frame for frame in video.required if f"{prefix}{video.name}/{frame}.png" not in members]
        if lost:
            count = f"{len(lost)} of {len(video.required)} frames missing"
            raise DataError(f"no mask {prefix}{video.name}/{lost[0]}.png in {path} ({count}): pack it again")


def _require_top(members: set[str], path: Path, benchmark: Benchmark) -> None:
    """Refuse an archive whose videos lie in another folder than the server expects, naming both."""
    names = {video.name for video in benchmark.videos}
    prefix = _prefix(benchmark)
    for member in sorted(members):
        parents = Path(member).parts[:-1]
        if parents and parents[-1] in names:
            right = f"{prefix}{parents[-1]}/{Path(member).name}"
            raise DataError(f"{member} in {path} lies in the wrong folder: the server looks for {right}")


def _validate(archive: zipfile.ZipFile, benchmark: Benchmark, shown: Path, watch: Watch) -> None:
    """Refuse the first mask of a complete archive that does not fit; its name in messages begins with `shown`."""
    prefix, jobs = _prefix(benchmark), list(_required(benchmark))
    sizes: dict[str, tuple[int, ...]] = {}
    for done, (video, frame) in enumerate(jobs, start=1):
        place = shown / video.name / f"{frame}.png"
        if video.name not in sizes:
            sizes[video.name] = video.given_mask(video.given[0]).shape
        try:
            content = archive.read(f"{prefix}{video.name}/{frame}.png")
        # Damage, and what others may have done to a zip: a password, another compression.
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"cannot read {place}: {error}; pack it again") from error
        require_fit(place, read_ids(place, content), video, sizes[video.name])
        if not _is_palette_png(content):
            raise MaskMismatch(f"mask {place} is no palette PNG: pack it with 'selfvos data pack'")
        watch.tell("validating", done, len(jobs))
        go_on(watch)


def _palette_png(path: Path) -> bytes:
    """Return a mask's file as a palette PNG: as it is where it is one, else written anew with the same ids."""
    content = path.read_bytes()
    ids = read_ids(path, content)
    if _is_palette_png(content):
        return content
    image, buffer = Image.fromarray(ids), io.BytesIO()
    image.putpalette(palette().tobytes())
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _is_palette_png(content: bytes) -> bool:
    with Image.open(io.BytesIO(content)) as image:
        return image.format == "PNG" and image.mode == "P"


def _stranger(ids: IdMap, objects: Sequence[int]) -> int | None:
    """Return a label that is neither background nor one of the objects."""
    highest = int(ids.max())
    if highest > objects[-1]:
        return highest
    if len(objects) == objects[-1]:
        return None
    strange = set(np.unique(ids).tolist()) - {0, *objects}
    return min(strange) if strange else None


def _required(benchmark: Benchmark) -> Iterator[tuple[LabelledVideo, str]]:
    for video in benchmark.videos:
        for frame in video.required:
            yield video, frame


def _prefix(benchmark: Benchmark) -> str:
    if benchmark.archive_prefix is None:
        raise UsageError(f"no server takes results of {benchmark.name}: score them here, with 'selfvos score'")
    return benchmark.archive_prefix


def _archive(path: Path, benchmark: Benchmark) -> Archive:
    frames = sum(len(video.required) for video in benchmark.videos)
    return Archive(path=path, protocol=benchmark.name, note=benchmark.note, videos=len(benchmark.videos), frames=frames)
