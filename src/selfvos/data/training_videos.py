"""Which videos a training learns from, and what each is called there: names are told apart, nothing is taken twice."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfvos.data.kinds import is_hidden, list_pictures
from selfvos.data.listing import find_videos
from selfvos.data.shards import SUFFIX as SHARD
from selfvos.data.shards import Member, read_index
from selfvos.errors import DataError

LeftOut = list[tuple[str, str]]
"""Name and reason of each."""


@dataclass(frozen=True)
class FoundVideo:
    """A video, a folder of frames, or a photograph."""

    name: str
    path: Path
    photo: bool = False
    """A picture that is a clip of its own."""
    member: Member | None = None
    """Which video of the shard at `path`, where that is one."""


def find_training_videos(roots: Sequence[Path], photos: Sequence[str]) -> tuple[list[FoundVideo], LeftOut]:
    """Find all videos, frame folders and photographs below some roots.

    A video is called by its path below its root. Where two would be called alike, both names grow to the left, by
    folders above, until they differ.

    Args:
        roots: Folders, or single video files.
        photos: Names of folders whose pictures, and those below, are photographs and not the frames of a video.

    Returns:
        What was found, and name and reason of what was left out.

    Raises:
        UsageError: A root does not exist.
    """
    found: dict[tuple[Path, Member | None], FoundVideo] = {}
    left_out: LeftOut = []
    for root in _expanded(roots):
        below, unusable = _below(root, photos)
        left_out += unusable
        for video in below:
            first = found.setdefault((video.path.resolve(), video.member), video)
            if first is not video:
                left_out.append((video.name, f"the same as {first.path}"))
    return _told_apart(list(found.values())), left_out


def _below(root: Path, photos: Sequence[str]) -> tuple[list[FoundVideo], LeftOut]:
    """Return what lies below one root; that there is nothing does not stop the others."""
    if root.suffix == SHARD and root.is_file():
        return _in_shards([root])
    folders = list(_photo_folders(root, photos))
    pictures = [picture for folder in folders for picture in list_pictures(folder)]
    found, broken = _in_shards(sorted(root.glob(f"*{SHARD}"))) if root.is_dir() else ([], [])
    found += [FoundVideo(_name(path, root), path, photo=True) for path in pictures]
    try:
        listing = find_videos(root)
    except DataError as error:
        return found, broken if found or broken else [(str(root), str(error))]
    apart = set(folders)
    videos = [FoundVideo(_name(path, root), path) for path in listing.videos if apart.isdisjoint((path, path.parent))]
    apart |= {path for path in root.glob(f"*{SHARD}*") if root.is_dir()}  # shards and their indices
    left_out = [one for one in listing.left_out if apart.isdisjoint((one.path, one.path.parent))]
    return videos + found, [*broken, *((_name(one.path, root), one.reason) for one in left_out)]


def _expanded(roots: Sequence[Path]) -> Iterator[Path]:
    """Yield roots, with what a pattern stands for that no shell has expanded, as in ``shards/*.tar``."""
    for root in roots:
        matching = sorted(root.parent.glob(root.name)) if "*" in root.name and not root.exists() else []
        yield from matching or [root]


def _in_shards(shards: Sequence[Path]) -> tuple[list[FoundVideo], LeftOut]:
    found: list[FoundVideo] = []
    broken: LeftOut = []
    for shard in shards:
        try:
            found += [FoundVideo(member.name, shard, member=member) for member in read_index(shard)]
        except DataError as error:
            broken.append((shard.name, str(error)))
    return found, broken


def _photo_folders(root: Path, photos: Sequence[str]) -> Iterator[Path]:
    """Yield every folder of photographs, and those below it."""
    seen: set[str] = set()
    if not photos:
        return
    for folder, below, _ in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not is_hidden(name))
        path = Path(folder)
        if {root.resolve().name, *path.relative_to(root).parts} & set(photos):
            yield path


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path != root else path.absolute().name


def _told_apart(found: list[FoundVideo]) -> list[FoundVideo]:
    """Lengthen names that several videos have, by folders above, until no two are alike."""
    while alike := {name for name, count in Counter(video.name for video in found).items() if count > 1}:
        found = [_lengthened(video) if video.name in alike else video for video in found]
    return found


def _lengthened(video: FoundVideo) -> FoundVideo:
    if video.member is not None:
        return replace(video, name=f"{video.path.stem}/{video.member.file}:{video.member.offset}")
    parts = video.path.absolute().parts
    wanted = min(len(Path(video.name).parts) + 1, len(parts))
    return FoundVideo(Path(*parts[-wanted:]).as_posix(), video.path, video.photo)
