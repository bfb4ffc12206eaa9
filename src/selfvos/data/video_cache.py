"""Videos decoded once: each becomes one small file of JPEG frames that can be read in any order, by any thread."""

import hashlib
import io
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from selfvos.data.kinds import list_pictures
from selfvos.data.listing import find_videos, summary
from selfvos.data.source import open_source
from selfvos.errors import DataError, OutOfSpace, UsageError
from selfvos.storage import atomic_path
from selfvos.types import Progress, nobody

log = logging.getLogger(__name__)

_FORMAT = 1
_FOOTER = 8
_QUALITY = 92


@dataclass(frozen=True)
class CachedVideo:
    """One video in the cache."""

    name: str
    """Path of the video relative to the folder it was found in: its identity in a run."""
    path: Path
    height: int
    width: int
    offsets: tuple[int, ...]
    """Where each frame's JPEG starts, and where the last one ends."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def frame(self, index: int) -> UInt8[np.ndarray, "y x 3"]:
        """Decode one frame to RGB."""
        start, end = self.offsets[index], self.offsets[index + 1]
        handle = os.open(self.path, os.O_RDONLY)
        try:
            jpeg = os.pread(handle, end - start, start)
        finally:
            os.close(handle)
        return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


@dataclass(frozen=True)
class VideoCache:
    """All usable videos of a training set, and those that were left out."""

    videos: tuple[CachedVideo, ...]
    skipped: tuple[tuple[str, str], ...]
    """Name and reason of whatever lay beside them and was left out, or could not be used."""

    def summary(self) -> str:
        """Say in one line what was taken and what was left out, with the reasons."""
        return summary([cached.name for cached in self.videos], self.skipped)

    def frames(self) -> int:
        """Return the number of frames of all videos together."""
        return sum(len(cached) for cached in self.videos)


def default_cache() -> Path:
    """Return the folder where videos of all runs are kept (``$XDG_CACHE_HOME/selfvos`` or ``~/.cache/selfvos``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfvos" / "videos"


def build_video_cache(
    roots: Sequence[Path | str],
    *,
    cache: Path,
    short_side_px: int,
    min_frames: int = 2,
    progress: Progress = nobody,
) -> VideoCache:
    """Find all videos and frame folders below some roots and make sure that each is packed.

    Args:
        roots: Folders, or single video files.
        cache: Folder of the videos; what is in there and still fits is not decoded again.
        short_side_px: Frames with a longer short side are reduced to it; smaller ones are never enlarged.
        min_frames: Videos with fewer frames are left out.
        progress: Called with videos done and videos in all.

    Returns:
        Packs in the order of their names; broken and short videos are named in `skipped`.

    Raises:
        DataError: Not one usable video.
        OutOfSpace: The disk is full.
    """
    found: list[tuple[str, Path]] = []
    videos: list[CachedVideo] = []
    skipped: list[tuple[str, str]] = []
    for root in roots:
        named, left_out = _named(Path(root))
        found += named
        skipped += left_out

    def one(entry: tuple[str, Path]) -> CachedVideo | str:
        try:
            return cache_video(entry[1], name=entry[0], cache=cache, short_side_px=short_side_px)
        except OutOfSpace:
            raise
        except (DataError, UsageError) as error:  # it may also have gone since it was listed
            return _short(error, entry[1])

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for done, ((name, _), result) in enumerate(zip(found, pool.map(one, found), strict=True), start=1):
            if isinstance(result, str):
                skipped.append((name, result))
            elif len(result) < min_frames:
                skipped.append((name, f"{len(result)} frames, at least {min_frames} are needed"))
            else:
                videos.append(result)
            progress(done, len(found))
    taken = VideoCache(videos=tuple(sorted(videos, key=lambda cached: cached.name)), skipped=tuple(skipped))
    if not videos:
        where = ", ".join(str(root) for root in roots)
        raise DataError(f"no usable video in {where}: {taken.summary()}; give a folder of videos or frame folders")
    log.info("%s", taken.summary())
    return taken


def cache_video(path: Path, *, name: str, cache: Path, short_side_px: int) -> CachedVideo:
    """Return a video's cached, decoding the video if the cache does not have it.

    Raises:
        BrokenVideo: No frame can be read.
        OutOfSpace: The disk is full.
    """
    target = cache / f"{_fingerprint(path, short_side_px)}.pack"
    try:
        return _read_index(target, name)
    except (OSError, ValueError, KeyError):
        # Not there, or written by another version: decode.
        pass
    offsets, size = [0], (0, 0)
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        for frame in open_source(path):
            picture = _reduce(Image.fromarray(frame.rgb), short_side_px)
            picture.save(file, format="JPEG", quality=_QUALITY)
            offsets.append(file.tell())
            size = (picture.height, picture.width)
        index = json.dumps({"format": _FORMAT, "offsets": offsets, "size": size}).encode()
        file.write(index + len(index).to_bytes(_FOOTER, "little"))
    return _read_index(target, name)


def _named(root: Path) -> tuple[list[tuple[str, Path]], list[tuple[str, str]]]:
    """Return what is below a root by name: the videos, and what was left out."""

    def name(path: Path) -> str:
        return path.relative_to(root).as_posix() if path != root else path.name

    try:
        listing = find_videos(root)
    except DataError as error:
        return [], [(str(root), _short(error, root))]
    return [(name(path), path) for path in listing.videos], [(name(one.path), one.reason) for one in listing.left_out]


def _short(error: Exception, path: Path) -> str:
    """Return a message without the path that it begins with, so that equal reasons are equal."""
    return str(error).removeprefix(str(path)).lstrip(": ")


def _fingerprint(path: Path, short_side_px: int) -> str:
    files = list_pictures(path) if path.is_dir() else [path]
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((str(path.resolve()), facts, short_side_px, _FORMAT)).encode()).hexdigest()[:32]


def _read_index(path: Path, name: str) -> CachedVideo:
    with open(path, "rb") as file:
        file.seek(-_FOOTER, os.SEEK_END)
        length = int.from_bytes(file.read(), "little")
        file.seek(-_FOOTER - length, os.SEEK_END)
        index = json.loads(file.read(length))
    if index["format"] != _FORMAT:
        raise ValueError(f"pack format {index['format']}")
    return CachedVideo(
        name=name, path=path, height=index["size"][0], width=index["size"][1], offsets=tuple(index["offsets"])
    )


def _reduce(picture: Image.Image, short_side_px: int) -> Image.Image:
    factor = short_side_px / min(picture.size)
    if factor >= 1:
        return picture
    size = (round(picture.width * factor), round(picture.height * factor))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3)
