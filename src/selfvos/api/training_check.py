"""A folder of videos looked through before a training spends days on it: broken, short, tiny, still, twice."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from selfvos.data.clips import ClipConfig
from selfvos.data.source import Source, open_source, read_image
from selfvos.data.training_videos import FoundVideo, find_training_videos
from selfvos.data.video_cache import as_path
from selfvos.data.video_hash import video_hash
from selfvos.errors import DataError, UsageError
from selfvos.evaluation.workers import in_threads
from selfvos.stopping import advising
from selfvos.types import Watch, go_on, ignore

_LOOKS = 8
"""Frames by which videos are compared, evenly over their length."""
_GRID = 8
_ALIKE = 10
"""Grey levels by which no part of any of these frames may differ for two videos to be the same."""
_FLAT = 12
"""Grey levels: below, a video shows so little that others may look the same by chance."""
_STILL = 2
"""Grey levels: where no part of any frame differs more from the first, nothing moves."""

Look = UInt8[np.ndarray, "8 8"]
"""Mean light of the parts of a frame."""


@dataclass(frozen=True, kw_only=True)
class CheckedVideo:
    """What a look at every frame of a video found."""

    name: str
    """As a training calls it."""
    frames: int = 0
    """Frames that can be read."""
    height: int = 0
    width: int = 0
    photo: bool = False
    """A photograph: a clip of its own."""
    unusable: str = ""
    """Why no training can learn from it; empty where it can."""
    notes: tuple[str, ...] = ()
    """What is unusual: it is learned from all the same."""


@dataclass(frozen=True, kw_only=True)
class VideoCheck:
    """What a look at every video of a training found."""

    videos: tuple[CheckedVideo, ...]
    left_out: tuple[tuple[str, str], ...]
    """Name and reason of what lies there and is no video to learn from."""

    @property
    def faults(self) -> tuple[str, ...]:
        """What is to be mended or taken away, one line each."""
        return tuple(f"{one.name}: {one.unusable}" for one in self.videos if one.unusable)

    @property
    def usable(self) -> int:
        """Videos and photographs that can be learned from."""
        return sum(not one.unusable for one in self.videos)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        left_out = [{"name": name, "reason": reason} for name, reason in self.left_out]
        return {"videos": [asdict(one) for one in self.videos], "left_out": left_out, "usable": self.usable}

    def table(self) -> str:
        """Return a row for each video with something to say of it, and a line with the sums."""
        told = [one for one in self.videos if one.unusable or one.notes]
        rows = [("video", "frames", "size", "what")] if told else []
        for one in told:
            size = f"{one.width}x{one.height}" if one.width else "-"
            rows.append(
                (one.name, str(one.frames), size, "; ".join([*([one.unusable] if one.unusable else []), *one.notes]))
            )
        widths = [max(len(row[i]) for row in rows) for i in range(3)] if rows else []
        lines = [
            "  ".join([*(part.ljust(width) for part, width in zip(row, widths, strict=False)), row[3]]) for row in rows
        ]
        return "\n".join([*lines, *_left_out(self.left_out), self._sums()])

    def _sums(self) -> str:
        photos = sum(one.photo for one in self.videos)
        frames = sum(one.frames for one in self.videos if not one.photo)
        bad = sum(bool(one.unusable) for one in self.videos)
        odd = sum(bool(one.notes) and not one.unusable for one in self.videos)
        count = f"{len(self.videos) - photos} videos of {frames} frames{f', {photos} photographs' if photos else ''}"
        return f"{count}: {self.usable} can be learned from, {bad} cannot, {odd} to look at"


def check_videos(
    videos: str | Path | Sequence[str | Path], *, clips: ClipConfig | None = None, watch: Watch = ignore
) -> VideoCheck:
    """Look at every frame of every video that a training would find, and decode nothing into the cache.

    Unusable is what cannot be read, or has too few frames for a clip. Told as well: videos that break off, that are
    shorter than a clip is long, smaller than a crop, in which nothing moves, and those that are there twice, as the
    same file or as one that looks the same in eight places.

    Args:
        videos: Folders, files and shards, as `train` takes them.
        clips: How a recipe draws clips; by default as the paper's.
        watch: Told of every video; asked between frames.

    Raises:
        UsageError: There is no such folder.
        DataError: Nothing in it could be a video.
        Stopped: The watch asked for it.
    """
    clips = clips or ClipConfig()
    roots = [videos] if isinstance(videos, str | Path) else list(videos)
    found, left_out = find_training_videos([Path(root) for root in roots], clips.photos.folders)
    if not found:
        reason = "; ".join(f"{name}: {why}" for name, why in left_out[:3]) or "it is empty"
        raise DataError(
            f"no video in {', '.join(map(str, roots))} ({reason}); give a folder of videos or frame folders"
        )
    with advising("the rest was not looked at; run the same command again"):
        looks = list(in_threads(lambda video: _look(video, clips, watch), found, watch=watch, stage="checking"))
    return VideoCheck(videos=tuple(_with_twins(looks)), left_out=tuple(left_out))


@dataclass(frozen=True)
class _Looked:
    about: CheckedVideo
    digest: str | None = None
    looks: UInt8[np.ndarray, "n 8 8"] = field(default_factory=lambda: np.zeros((0, _GRID, _GRID), np.uint8))


def _look(video: FoundVideo, clips: ClipConfig, watch: Watch) -> _Looked:
    about = CheckedVideo(name=video.name, photo=video.photo)
    try:
        with as_path(video) as path:
            return _photo(about, path, clips) if video.photo else _video(about, open_source(path), clips, watch)
    except (DataError, UsageError, OSError) as error:
        return _Looked(replace(about, unusable=" ".join(str(error).removeprefix(str(video.path)).lstrip(": ").split())))


def _photo(about: CheckedVideo, path: Path, clips: ClipConfig) -> _Looked:
    rgb = read_image(path)
    seen = _seen(about, [_shrunk(rgb)], (rgb.shape[0], rgb.shape[1]))
    return _Looked(replace(seen.about, notes=tuple(_size_notes(seen.about, clips))), None, seen.looks)


def _video(about: CheckedVideo, source: Source, clips: ClipConfig, watch: Watch) -> _Looked:
    looks: list[Look] = []
    size = (0, 0)
    for frame in source:
        go_on(watch)
        looks.append(_shrunk(frame.rgb))
        size = frame.rgb.shape[0], frame.rgb.shape[1]
    hashed = video_hash(source)
    seen = _seen(about, looks, size)
    needed, span = len(clips.offsets), clips.offsets[-1] * clips.frame_step + 1
    notes = list(_size_notes(seen.about, clips))
    if source.partial:
        announced = f" of {source.count}" if source.count else ""
        notes.insert(0, f"breaks off after {len(looks)}{announced} frames")
    if needed <= len(looks) < span:
        notes.append(f"shorter than a clip of {span} frames: motion is slower in it")
    if len(looks) > 1 and _apart(np.stack(looks), looks[0]) <= _STILL:
        notes.append("nothing moves")
    short = f"{len(looks)} frames, at least {needed} are needed" if len(looks) < needed else ""
    return _Looked(replace(seen.about, unusable=short, notes=tuple(notes)), hashed and hashed[0], seen.looks)


def _seen(about: CheckedVideo, looks: list[Look], size: tuple[int, int]) -> _Looked:
    chosen = np.linspace(0, len(looks) - 1, _LOOKS).round().astype(int) if looks else []
    kept = np.stack([looks[i] for i in chosen]) if looks else np.zeros((0, _GRID, _GRID), np.uint8)
    return _Looked(replace(about, frames=len(looks), height=size[0], width=size[1]), None, kept)


def _size_notes(about: CheckedVideo, clips: ClipConfig) -> Iterator[str]:
    short = min(about.height, about.width)
    if 0 < short < clips.crop_px:
        yield f"tiny: crops of {clips.crop_px} pixels are enlarged from {short}"


def _shrunk(rgb: UInt8[np.ndarray, "y x 3"]) -> Look:
    return np.array(Image.fromarray(rgb).resize((_GRID, _GRID), Image.Resampling.BOX).convert("L"))


def _apart(looks: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(looks.astype(np.int16) - other).max(initial=0))


def _with_twins(looks: list[_Looked]) -> Iterator[CheckedVideo]:
    """Yield videos with a note on those that are an earlier one again."""
    digests: dict[str, str] = {}
    for place, one in enumerate(looks):
        same = digests.setdefault(one.digest, one.about.name) if one.digest and not one.about.unusable else None
        if same not in (None, one.about.name):
            yield replace(one.about, notes=(*one.about.notes, f"the same as {same}"))
            continue
        twin = next((other.about.name for other in looks[:place] if _look_alike(one, other)), None)
        yield one.about if twin is None else replace(one.about, notes=(*one.about.notes, f"looks the same as {twin}"))


def _look_alike(one: _Looked, other: _Looked) -> bool:
    if len(one.looks) == 0 or len(other.looks) == 0 or one.about.photo != other.about.photo:
        return False
    near = abs(one.about.frames - other.about.frames) <= 1 + one.about.frames // 50
    return near and int(np.ptp(one.looks)) > _FLAT and _apart(one.looks, other.looks) <= _ALIKE


def _left_out(left_out: Sequence[tuple[str, str]]) -> list[str]:
    reasons = Counter(reason for _, reason in left_out)
    first = {reason: name for name, reason in reversed(left_out)}
    return [
        f"left out: {first[reason]}{f' and {count - 1} more' if count > 1 else ''}: {reason}"
        for reason, count in reasons.most_common()
    ]
