"""Which videos lie below a folder, and what else lies there and was left out, with the reason."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from selfvos.data.files import is_folder, named
from selfvos.data.kinds import PAGED, PICTURES, VIDEOS, in_order, is_hidden, is_kind, natural_path
from selfvos.data.pictures import open_image, upright
from selfvos.data.stacks import is_stack
from selfvos.errors import DataError, UsageError

_LOOKED_AT = 16
"""Pictures of a folder that are opened to see whether each is a sequence of its own."""
_NAMED = 3
_FIRST_COLOURS = bytes([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
"""Ids 0 to 3 in the palette of PASCAL-VOC, which masks are stored in."""
_MOST_GREY_ID = 32
_MOST_LEVELS = 1024
_FLAT, _FLAT_LIT = 0.8, 0.6
"""Least share of pixels, and of pixels that are not 0, that are like the one before."""


@dataclass(frozen=True)
class LeftOut:
    """Something that could have been a video, and why it is none."""

    path: Path
    reason: str


@dataclass(frozen=True)
class VideoListing:
    """What was found below a folder."""

    videos: tuple[Path, ...]
    """Video files, folders of pictures, and files of several pictures, in natural order; none was read through."""
    left_out: tuple[LeftOut, ...] = ()
    """In natural order."""


def find_videos(root: Path | str) -> VideoListing:
    """List every video below a folder: video files, folders that directly hold pictures, and files of several pictures.

    Left out are masks (folders called `Annotations...`, and those whose pictures are seen to be masks), what tracking
    wrote (folders with an overlay and masks), hidden files, links to nothing, single pictures and what cannot be read.

    Args:
        root: A folder, or one video file.

    Raises:
        UsageError: There is no such path.
        DataError: There is no video below it.
    """
    root = Path(root)
    if not is_folder(root):
        return VideoListing((_single(root),))
    walk = _Walk()
    walk.visit(root)
    videos = tuple(sorted(walk.videos, key=natural_path))
    left_out = tuple(sorted(walk.left_out, key=lambda one: natural_path(one.path)))
    if not videos:
        kinds = f"neither video files ({', '.join(sorted(VIDEOS))}) nor folders of pictures"
        told = summary([], [(str(one.path.relative_to(root)), one.reason) for one in left_out]).partition("; ")[2]
        raise DataError(f"no videos below {named(root)}: {told if left_out else kinds}")
    return VideoListing(videos, left_out)


def summary(taken: Sequence[str], left_out: Sequence[tuple[str, str]]) -> str:
    """Say in one line what was taken, from the first to the last, and what was left out, by reason.

    Args:
        taken: Names of what was taken, in order.
        left_out: Name and reason of everything else.
    """
    ends = f": {named(taken[0])} to {named(taken[-1])}" if len(taken) > 1 else f": {named(taken[0])}" if taken else ""
    text = f"{len(taken)} {'video' if len(taken) == 1 else 'videos'} taken{ends}"
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in left_out:
        by_reason[reason].append(named(name))
    if not by_reason:
        return f"{text}; nothing left out"
    groups = (_group(names, reason) for reason, names in by_reason.items())
    return f"{text}; left out: {'; '.join(groups)}"


def _group(names: Sequence[str], reason: str) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more} ({reason})"


def _single(path: Path) -> Path:
    try:
        there = path.exists()
    except (OSError, ValueError):
        there = False
    if not there:
        raise UsageError(f"no such folder: {named(path)}")
    if is_kind(path.name, PICTURES) and not is_stack(path):
        raise DataError(f"{named(path)} is a single picture; give a folder of videos or of frames")
    return path


@dataclass
class _Walk:
    """Goes through folders, and keeps what it finds."""

    videos: list[Path] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def visit(self, folder: Path) -> None:
        """Take in a folder and all below it."""
        real = os.path.realpath(folder)
        if real in self._seen:  # a link that leads back up
            return
        self._seen.add(real)
        try:
            entries = sorted(os.listdir(folder))
        except OSError as error:
            self._leave(folder, f"cannot be listed: {error.strerror}")
            return
        if _is_result(entries):
            self._leave(folder, "result of an earlier track")
            return
        below, files = [], []
        for entry in entries:
            path = folder / entry
            (below if is_folder(path) else files).append(path)
        self._take_files(files, folder)
        for path in below:
            if is_hidden(path.name):
                self._leave(path, "hidden")
            elif path.name.startswith("Annotations"):
                self._leave(path, "masks, not frames")
            else:
                self.visit(path)

    def _take_files(self, files: Sequence[Path], folder: Path) -> None:
        pictures: list[Path] = []
        for path in files:
            kind = path.suffix.lower()
            if kind not in PICTURES | VIDEOS:
                continue
            if is_hidden(path.name):
                self._leave(path, "hidden")
            elif not path.is_file():
                self._leave(path, "a link to nothing" if path.is_symlink() else "not a regular file")
            elif kind in VIDEOS:
                self.videos.append(path)
            else:
                pictures.append(path)
        self._tell_others(files)
        self._take_pictures(in_order(pictures), folder)

    def _tell_others(self, files: Sequence[Path]) -> None:
        kinds = PICTURES | VIDEOS
        for path in files:
            if path.suffix.lower() not in kinds and not is_hidden(path.name):
                self._leave(path, "neither video nor picture by its name")

    def _take_pictures(self, pictures: Sequence[Path], folder: Path) -> None:
        stacks, broken = _stacks(pictures)
        single = [path for path in pictures if path not in stacks]
        self.videos.extend(stacks)
        if len(single) == 1:
            self._leave(single[0], broken.get(single[0], "a single picture"))
        elif single and _are_masks(single):
            self._leave(folder, "masks, not frames")
        elif single:
            self.videos.append(folder)

    def _leave(self, path: Path, reason: str) -> None:
        self.left_out.append(LeftOut(path, reason))


def _is_result(entries: Sequence[str]) -> bool:
    return "track.json" in entries or {"overlay.mp4", "masks"} <= set(entries)


def _stacks(pictures: Sequence[Path]) -> tuple[set[Path], dict[Path, str]]:
    """Return the pictures that are sequences of their own, and of those that cannot be read the reason."""
    paged = [path for path in pictures if path.suffix.lower() in PAGED]
    found: set[Path] = set()
    broken: dict[Path, str] = {}
    for place, path in enumerate(paged):
        if place >= _LOOKED_AT and not found:  # a long sequence of single pictures
            break
        try:
            if is_stack(path):
                found.add(path)
        except (DataError, UsageError) as error:
            broken[path] = str(error)
    return found, broken


def _are_masks(pictures: Sequence[Path]) -> bool:
    """Tell whether the first, the middle and the last picture of a folder are masks, as far as anything is in them."""
    some = {pictures[0], pictures[len(pictures) // 2], pictures[-1]}
    try:
        seen = [_is_mask(path) for path in some]
    except (DataError, UsageError):
        return False
    return True in seen and False not in seen


def _is_mask(path: Path) -> bool | None:
    """Tell a mask from a frame, by the palette or as flat areas of few grey levels; None where all is black."""
    with open_image(path) as image:
        if image.format != "PNG" or image.mode not in {"P", "1", "L", "I", "I;16"}:
            return False
        if image.mode == "P":
            colours = bytes(image.getpalette() or ())[: len(_FIRST_COLOURS)]
            return len(colours) >= 6 and _FIRST_COLOURS.startswith(colours)
        return _holds_ids(np.asarray(upright(image)))


def _holds_ids(values: Shaped[np.ndarray, "y x"]) -> bool | None:
    levels = np.unique(values)
    if not levels[-1]:
        return None
    few = len(levels) <= _MOST_LEVELS if values.dtype.itemsize > 1 else levels[-1] <= _MOST_GREY_ID
    if not few and not set(levels.tolist()) <= {0, 255}:
        return False
    alike = values[:, 1:] == values[:, :-1]
    # Where hardly anything is lit, as in counted photons, most is flat as well; but what is lit is not.
    lit = alike[values[:, 1:] > 0]
    return bool(lit.size and alike.mean() >= _FLAT and lit.mean() >= _FLAT_LIT)
