"""Videos in shards: tar files in the layout of WebDataset, with an index that says where each video lies.

A sample is a video, ``<key>.mp4`` (or whatever it ends in), and ``<key>.json`` with its name and digest. Anything that
reads WebDataset reads them, and any tar of videos is read here, whoever wrote it.
"""

import io
import json
import logging
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from selfvos.data.files import named, require_file
from selfvos.data.kinds import VIDEOS, is_kind
from selfvos.errors import DataError, UsageError
from selfvos.storage import atomic_path, sha256, write_text
from selfvos.types import Watch, go_on, ignore

log = logging.getLogger(__name__)

SUFFIX = ".tar"
_INDEX = ".index.json"
_FORMAT = 1
_BLOCK = 2**20


@dataclass(frozen=True)
class Member:
    """One video of a shard."""

    name: str
    """What it is called in a run."""
    file: str
    """Its name in the tar."""
    offset: int
    """Where its first byte lies in the tar."""
    size: int


def write_shards(
    videos: Iterable[tuple[str, Path]], folder: Path, *, shard_bytes: int = 2**30, watch: Watch = ignore
) -> list[Path]:
    """Pack video files, as they are, into shards with an index beside each.

    Args:
        videos: Name and file of each.
        folder: Where ``videos-00000.tar`` and so on go; missing or without shards.
        shard_bytes: A shard is closed when it holds at least so many bytes.
        watch: Told of videos; asked before each.

    Returns:
        The shards.

    Raises:
        UsageError: The folder holds shards already.
        DataError: One of the files cannot be read, or there is none.
        OutOfSpace: The disk is full; shards that were closed before are whole.
        Stopped: The watch asked; the same.
    """
    if list(folder.glob(f"*{SUFFIX}")):
        raise UsageError(f"{folder} holds shards already; choose a new folder")
    shards, waiting, done = [], iter(videos), 0
    following = next(waiting, None)
    while following is not None:
        shard = folder / f"videos-{len(shards):05d}{SUFFIX}"
        with atomic_path(shard) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            while following is not None and tar.offset < shard_bytes:
                go_on(watch)
                _add(tar, *following, key=f"{done:09d}")
                done += 1
                watch.tell("packing", done, None)
                following = next(waiting, None)
        shards.append(shard)
        _write_index(shard, _scan(shard))
    if not shards:
        raise DataError("no video file to pack; give a folder of videos")
    return shards


def read_index(shard: Path) -> list[Member]:
    """Return the videos of a shard; its headers are read through once where no index fits it.

    Raises:
        DataError: It is no tar, or broken off.
    """
    require_file(shard)
    try:
        index = json.loads(_index_of(shard).read_text("utf-8"))
        if index["format"] == _FORMAT and index["bytes"] == shard.stat().st_size:
            return [Member(**member) for member in index["videos"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none, or of another shard: it is made of the shard itself
    members = _scan(shard)
    try:
        _write_index(shard, members)
    except UsageError:
        log.info("%s: no index can be written beside it; it is read through each time", shard)
    return members


@contextmanager
def extracted(shard: Path, member: Member) -> Iterator[Path]:
    """Lend a video of a shard as a file.

    Raises:
        DataError: The shard was cut short since its index was written.
    """
    with TemporaryDirectory(prefix="selfvos-") as folder:
        path = Path(folder) / f"video{Path(member.file).suffix.lower()}"
        left = member.size
        with shard.open("rb") as tar, path.open("wb") as file:
            tar.seek(member.offset)
            while left and (block := tar.read(min(_BLOCK, left))):
                file.write(block)
                left -= len(block)
        if left:
            raise DataError(f"{named(shard)} breaks off in {member.file}; copy or download it again")
        yield path


def _add(tar: tarfile.TarFile, name: str, path: Path, *, key: str) -> None:
    require_file(path)
    about = json.dumps({"name": name, "sha256": sha256(path)}).encode()
    # The description comes first, so that the name is known before the video is.
    for suffix, size, content in ((".json", len(about), io.BytesIO(about)), (path.suffix.lower(), None, None)):
        entry = tarfile.TarInfo(f"{key}{suffix}")
        if content is not None:
            entry.size = size or 0
            tar.addfile(entry, content)
            continue
        entry.size = path.stat().st_size
        with path.open("rb") as file:
            tar.addfile(entry, file)


def _scan(shard: Path) -> list[Member]:
    names: dict[str, str] = {}
    found: list[Member] = []
    try:
        with tarfile.open(shard, "r:") as tar:
            for entry in tar:
                key = _key(entry.name)
                if entry.isreg() and entry.name.endswith(".json") and entry.size < _BLOCK:
                    names[key] = _name_in(tar, entry)
                elif entry.isreg() and is_kind(Path(entry.name).name, VIDEOS):
                    found.append(Member(key, entry.name, entry.offset_data, entry.size))
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{named(shard)} is no tar that can be read ({error}); copy or download it again") from error
    ends = max((member.offset + member.size for member in found), default=0)
    if ends > shard.stat().st_size:
        raise DataError(f"{named(shard)} breaks off; copy or download it again")
    return [Member(names.get(member.name) or member.file, member.file, member.offset, member.size) for member in found]


def _name_in(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    file = tar.extractfile(entry)
    try:
        about = json.loads(file.read()) if file is not None else None
    except ValueError:  # somebody else's description
        return ""
    name = about.get("name") if isinstance(about, dict) else None
    return name if isinstance(name, str) else ""


def _key(file: str) -> str:
    """Return what the members of a sample have in common: all before the first dot of the file's name."""
    folder, slash, name = file.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _index_of(shard: Path) -> Path:
    return shard.with_name(shard.name + _INDEX)


def _write_index(shard: Path, members: list[Member]) -> None:
    index = {"format": _FORMAT, "bytes": shard.stat().st_size, "videos": [asdict(member) for member in members]}
    write_text(_index_of(shard), json.dumps(index, indent=1) + "\n")
