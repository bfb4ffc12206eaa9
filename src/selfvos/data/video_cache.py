"""Videos decoded once: each becomes one small file of JPEG frames that can be read in any order, by any thread."""

import hashlib
import io
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from selfvos.data.apart import open_apart
from selfvos.data.cache_limit import lease, touch
from selfvos.data.kinds import list_pictures
from selfvos.data.listing import summary
from selfvos.data.pictures import read_image
from selfvos.data.shards import extracted
from selfvos.data.training_videos import FoundVideo, find_training_videos
from selfvos.errors import DataError, UsageError
from selfvos.storage import atomic_path, in_turn
from selfvos.types import Frame, Watch, go_on, ignore

log = logging.getLogger(__name__)

PACK = ".pack"
"""How cached files end."""
_FORMAT = 2
_READING = 2
"""Raise it when frames come out of the same file otherwise than before: turned, of another stream, spread anew."""
_DIGEST = hashlib.sha256().digest_size
_LENGTH = 8
_BLOCK = 2**20
_QUALITY = 92


@dataclass(frozen=True)
class CachedVideo:
    """One video, or one photograph, in the cache."""

    name: str
    """What it is called in a run: its path below the folder it was found in, longer where two would be alike."""
    path: Path
    height: int
    width: int
    offsets: tuple[int, ...]
    """Where each frame's JPEG starts, and where the last one ends."""
    frames: tuple[str, ...] = field(repr=False)
    """Name of each frame: a picture's stem, the number of a frame in a video file."""
    identity: str
    """SHA-256 of all frames as they are kept: the same wherever the video lies and whatever it is called."""
    again: "Callable[[], CachedVideo] | None" = field(default=None, repr=False, compare=False)
    """Decodes the video once more, where its file in the cache is not whole."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def still(self) -> bool:
        """Whether it is a photograph."""
        return len(self) == 1

    def frame(self, index: int) -> UInt8[np.ndarray, "y x 3"]:
        """Decode one frame to RGB; a file that was removed or damaged meanwhile is made anew from the video.

        Raises:
            DataError: That cannot be, or the video is another one now.
            OutOfSpace: The disk is full.
        """
        try:
            return self._read(index)
        except (OSError, SyntaxError) as error:
            log.warning("%s: cache file %s was removed or damaged (%s); made anew", self.name, self.path, error)
        try:
            return self._made_anew()._read(index)
        except (DataError, UsageError, OSError, SyntaxError) as error:
            raise DataError(
                f"cache file {self.path} of {self.name} was removed or damaged, and cannot be made anew ({error}); "
                "bring the video back and run again"
            ) from error

    def _read(self, index: int) -> UInt8[np.ndarray, "y x 3"]:
        start, end = self.offsets[index], self.offsets[index + 1]
        handle = os.open(self.path, os.O_RDONLY)
        try:
            jpeg = os.pread(handle, end - start, start)
        finally:
            os.close(handle)
        return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))

    def _made_anew(self) -> "CachedVideo":
        """Return the same frames again: whoever has learned from them so far goes on with no others."""
        if self.again is None:
            raise DataError("nobody knows where the video lies")
        made = self.again()
        if made.identity != self.identity:
            raise DataError("the video has changed")
        return made


@dataclass(frozen=True)
class VideoCache:
    """All usable videos of a training set, and those that were left out."""

    videos: tuple[CachedVideo, ...]
    skipped: tuple[tuple[str, str], ...]
    """Name and reason of each video that could not be used."""

    def frames(self) -> int:
        """Return the number of frames of all videos together."""
        return sum(len(cached) for cached in self.videos)

    def identities(self) -> list[list[str]]:
        """Return name and identity of each video: what a run has to find again to go on."""
        return [[cached.name, cached.identity] for cached in self.videos]

    def summary(self) -> str:
        """Say in one line what was taken, first and last, and what was left out, with the reasons."""
        return summary([cached.name for cached in self.videos], self.skipped)


def default_cache() -> Path:
    """Return the folder where videos of all runs are kept.

    That is ``$XDG_CACHE_HOME/selfvos/videos`` or ``~/.cache/selfvos/videos``; a temporary folder of this user, with a
    note, where there is no home or nothing can be written there.
    """
    with suppress(RuntimeError, OSError):
        home = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(home) if home else Path.home() / ".cache") / "selfvos" / "videos"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    folder = Path(tempfile.gettempdir(), f"selfvos-{os.getuid() if hasattr(os, 'getuid') else 'cache'}", "videos")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    folder = folder if writable else Path(tempfile.mkdtemp(prefix="selfvos-"))
    log.warning(
        "no home folder to keep decoded videos in: they go to %s; name a folder that stays with --cache", folder
    )
    return folder


def build_video_cache(
    roots: Sequence[Path | str],
    *,
    cache: Path,
    short_side_px: int,
    min_frames: int = 2,
    photos: Sequence[str] = (),
    watch: Watch = ignore,
) -> VideoCache:
    """Find all videos, frame folders and photographs below some roots and make sure that each is in the cache.

    Args:
        roots: Folders, or single video files.
        cache: Folder of the cache; what is in there, whole, and still fits is not decoded again.
        short_side_px: Frames with a longer short side are reduced to it; smaller ones are never enlarged.
        min_frames: Videos with fewer frames are left out.
        photos: Names of folders whose pictures, and those below, are photographs and not the frames of a video.
        watch: Told of videos done; asked between frames.

    Returns:
        Videos in the order of their names; broken and short ones are named in `skipped`.

    Raises:
        UsageError: A root does not exist, or the cache cannot be written to.
        DataError: Not one usable video.
        OutOfSpace: The disk is full.
        Stopped: The watch asked; what was decoded before is kept.
    """
    found, left_out = find_training_videos([Path(root) for root in roots], photos)
    _require_writable(cache)
    lease(cache, {_target(entry, cache, short_side_px).name for entry in found})
    videos: list[CachedVideo] = []
    skipped = list(left_out)
    for done, (entry, result) in enumerate(_decode_all(found, cache, short_side_px, watch), start=1):
        if isinstance(result, str):
            skipped.append((entry.name, result))
        elif len(result) < min_frames and not entry.photo:
            skipped.append((entry.name, f"{len(result)} frames, at least {min_frames} are needed"))
        else:
            videos.append(result)
        watch.tell("decoding videos", done, len(found))
    if not videos:
        where = ", ".join(str(root) for root in roots)
        raise DataError(f"no usable video in {where}: {summary([], skipped)}; give a folder of videos or frame folders")
    return VideoCache(videos=tuple(sorted(videos, key=lambda cached: cached.name)), skipped=tuple(skipped))


def cache_video(video: FoundVideo, *, cache: Path, short_side_px: int, watch: Watch = ignore) -> CachedVideo:
    """Return a video or a photograph from the cache, decoding it if it is not there or not whole.

    Args:
        video: Where it lies and what it is called.
        cache: Folder of the cache.
        short_side_px: See `build_video_cache`.
        watch: Asked between frames.

    Raises:
        BrokenVideo: No frame can be read.
        OutOfSpace: The disk is full.
        Stopped: The watch asked.
    """
    target = _target(video, cache, short_side_px)
    again = partial(cache_video, video, cache=cache, short_side_px=short_side_px)
    try:
        cached = _open(target, video.name)
        touch(target)
        return replace(cached, again=again)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: cache file %s is damaged (%s); made anew", video.name, target, error)
    with in_turn(target, partial(go_on, watch)):
        with suppress(OSError, ValueError, KeyError, TypeError):
            return replace(_open(target, video.name), again=again)
        with atomic_path(target) as temporary, as_path(video) as path:
            _write(temporary, _frames(video, path), short_side_px, watch)
    return replace(_open(target, video.name), again=again)


def _decode_all(
    found: Sequence[FoundVideo], cache: Path, short_side_px: int, watch: Watch
) -> Iterator[tuple[FoundVideo, CachedVideo | str]]:
    """Yield each video with its place in the cache, or with the reason why it has none."""

    def one(entry: FoundVideo) -> CachedVideo | str:
        try:
            return cache_video(entry, cache=cache, short_side_px=short_side_px, watch=watch)
        except (DataError, UsageError, OSError) as error:
            return _short(error, entry.path)

    pool = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        for entry, result in zip(found, pool.map(one, found), strict=True):
            go_on(watch)
            yield entry, result
    finally:
        pool.shutdown(cancel_futures=True)


def _write(target: Path, pictures: Iterable[Frame], short_side_px: int, watch: Watch) -> None:
    """Write frames, an index, the digest of both, and the length of the index."""
    offsets, frames, size, total = [0], [], (0, 0), hashlib.sha256()
    with open(target, "wb") as file:
        for frame in pictures:
            go_on(watch)
            picture = _reduce(Image.fromarray(frame.rgb), short_side_px)
            jpeg = io.BytesIO()
            picture.save(jpeg, format="JPEG", quality=_QUALITY)
            file.write(jpeg.getbuffer())
            total.update(jpeg.getbuffer())
            offsets.append(file.tell())
            frames.append(frame.name)
            size = (picture.height, picture.width)
        facts = {"format": _FORMAT, "offsets": offsets, "size": size, "frames": frames, "identity": total.hexdigest()}
        index = json.dumps(facts).encode()
        total.update(index)
        file.write(index + total.digest() + len(index).to_bytes(_LENGTH, "little"))


def _open(path: Path, name: str) -> CachedVideo:
    """Read the index of a cache file and hold all of the file against its digest."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END) - _DIGEST - _LENGTH
        if end < 0:
            raise ValueError("cut short")
        file.seek(end)
        digest, length = file.read(_DIGEST), int.from_bytes(file.read(_LENGTH), "little")
        if length > end or _hash(file, end) != digest:
            raise ValueError("digest differs")
        file.seek(end - length)
        index = json.loads(file.read(length))
    height, width = index["size"]
    return CachedVideo(
        name=name,
        path=path,
        height=height,
        width=width,
        offsets=tuple(index["offsets"]),
        frames=tuple(index["frames"]),
        identity=index["identity"],
    )


def _hash(file: io.BufferedReader, length: int) -> bytes:
    file.seek(0)
    total = hashlib.sha256()
    while length and (block := file.read(min(_BLOCK, length))):
        total.update(block)
        length -= len(block)
    return total.digest()


def _fingerprint(video: FoundVideo, short_side_px: int) -> str:
    """Return what a cache file is found by: all that decides its content."""
    path = video.path
    files = list_pictures(path) if path.is_dir() else [path]
    facts = [str(path.resolve()), [_facts(file) for file in files], video.photo, short_side_px]
    if video.member is not None:
        facts.append((video.member.file, video.member.offset, video.member.size))
    return hashlib.sha256(repr([*facts, _FORMAT, _READING, _QUALITY]).encode()).hexdigest()[:32]


def _short(error: Exception, path: Path) -> str:
    """Return a message without the path that it begins with, so that equal reasons are equal."""
    return str(error).removeprefix(str(path)).lstrip(": ")


def _facts(file: Path) -> tuple[str, int, int]:
    try:
        about = file.stat()
    except OSError:  # a link that leads nowhere, or a file that must not be seen: whoever reads it has to say so
        return file.name, -1, -1
    return file.name, about.st_size, about.st_mtime_ns


def _require_writable(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {cache}: {error.strerror}; choose another folder with --cache") from error
    if not os.access(cache, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {cache}: it is read-only; choose another folder with --cache")


@contextmanager
def as_path(video: FoundVideo) -> Iterator[Path]:
    """Lend a video as a file or folder, also one that lies in a shard."""
    if video.member is None:
        yield video.path
        return
    with extracted(video.path, video.member) as path:
        yield path


def _frames(video: FoundVideo, path: Path) -> Iterable[Frame]:
    if video.photo:
        return [Frame(read_image(path), 0, path.stem, 0.0)]
    return open_apart(path)


def _target(video: FoundVideo, cache: Path, short_side_px: int) -> Path:
    return cache / f"{_fingerprint(video, short_side_px)}{PACK}"


def _reduce(picture: Image.Image, short_side_px: int) -> Image.Image:
    factor = short_side_px / min(picture.size)
    if factor >= 1:
        return picture
    size = (round(picture.width * factor), round(picture.height * factor))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3)
