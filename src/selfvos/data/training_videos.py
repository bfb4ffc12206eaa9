"""Which videos a training learns from, and what each is called there: names are told apart, nothing is taken twice."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfvos.data.source import find_videos, list_pictures


@dataclass(frozen=True)
class FoundVideo:
    """A video, a folder of frames, or a photograph."""

    name: str
    path: Path


def find_training_videos(
    roots: Sequence[Path], photos: Sequence[str]
) -> tuple[list[FoundVideo], list[tuple[str, str]]]:
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
        DataError: There is no video below a root.
    """
    found: dict[Path, FoundVideo] = {}
    left_out: list[tuple[str, str]] = []
    for root in roots:
        videos, unusable = _listed(root)
        left_out += unusable
        for entry in _named(root, videos, photos):
            first = found.setdefault(entry.path.resolve(), entry)
            if first is not entry:
                left_out.append((entry.name, f"the same as {first.path}"))
    return _told_apart(list(found.values())), left_out


def _listed(root: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    return find_videos(root), []


def _named(root: Path, videos: Sequence[Path], photos: Sequence[str]) -> Iterator[FoundVideo]:
    for path in videos:
        below = path.relative_to(root)
        if path.is_dir() and {root.resolve().name, *below.parts} & set(photos):
            yield from (FoundVideo(picture.relative_to(root).as_posix(), picture) for picture in list_pictures(path))
        else:
            yield FoundVideo(below.as_posix() if path != root else path.absolute().name, path)


def _told_apart(found: list[FoundVideo]) -> list[FoundVideo]:
    """Lengthen names that several videos have, by folders above, until no two are alike."""
    while alike := {name for name, count in Counter(video.name for video in found).items() if count > 1}:
        found = [_lengthened(video) if video.name in alike else video for video in found]
    return found


def _lengthened(video: FoundVideo) -> FoundVideo:
    parts = video.path.absolute().parts
    wanted = min(len(Path(video.name).parts) + 1, len(parts))
    return FoundVideo(Path(*parts[-wanted:]).as_posix(), video.path)
