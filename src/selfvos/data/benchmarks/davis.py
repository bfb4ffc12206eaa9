"""DAVIS 2016 (one foreground object) and DAVIS 2017 (several), in the folder layout of the dataset."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, LabelledVideo, folders_in
from selfvos.data.benchmarks.frame_folders import FrameFolders
from selfvos.data.benchmarks.stored_ids import read_ids
from selfvos.data.mask_png import IdMap
from selfvos.errors import DataError

_VOID = 255
_STANDARD = "480p"
Year = Literal[2016, 2017]
_OFFICIAL: dict[tuple[Year, str], int] = {
    (2016, "train"): 30,
    (2016, "val"): 20,
    (2017, "train"): 60,
    (2017, "val"): 30,
    (2017, "test-dev"): 30,
}
_SERVER = {"test-dev", "test-challenge"}


class Size(NamedTuple):
    """What is known of an official sequence."""

    frames: int
    width: int = 0
    """Of masks and pictures at 480p, in pixels; 0 where it was not written down."""
    objects: int = 0
    """In 2017; 0 where it was not written down."""


_SIZES_VAL = {
    "bike-packing": Size(69, 910, 2), "blackswan": Size(50, 854, 1), "bmx-trees": Size(80, 854, 2),
    "breakdance": Size(84, 854, 1), "camel": Size(90, 854, 1), "car-roundabout": Size(75, 854, 1),
    "car-shadow": Size(40, 854, 1), "cows": Size(104, 854, 1), "dance-twirl": Size(90, 854, 1),
    "dog": Size(60, 854, 1), "dogs-jump": Size(66, 854, 3), "drift-chicane": Size(52, 854, 1),
    "drift-straight": Size(50, 854, 1), "goat": Size(90, 854, 1), "gold-fish": Size(78, 854, 5),
    "horsejump-high": Size(50, 854, 2), "india": Size(81, 854, 3), "judo": Size(34, 854, 2),
    "kite-surf": Size(50, 854, 3), "lab-coat": Size(47, 854, 5), "libby": Size(49, 854, 1),
    "loading": Size(50, 854, 3), "mbike-trick": Size(79, 854, 2), "motocross-jump": Size(40, 854, 2),
    "paragliding-launch": Size(80, 854, 3), "parkour": Size(100, 854, 1), "pigs": Size(79, 854, 3),
    "scooter-black": Size(43, 854, 2), "shooting": Size(40, 1152, 3), "soapbox": Size(99, 854, 3),
}  # fmt: skip
_SIZES_TEST_DEV = {
    name: Size(frames)
    for name, frames in {
        "aerobatics": 71, "car-race": 31, "carousel": 69, "cats-car": 67, "chamaleon": 85, "deer": 79,
        "giant-slalom": 127, "girl-dog": 86, "golf": 79, "guitar-violin": 55, "gym": 60, "helicopter": 49,
        "horsejump-stick": 58, "hoverboard": 81, "lock": 43, "man-bike": 75, "monkeys-trees": 83, "mtb-race": 69,
        "orchid": 57, "people-sunset": 67, "planes-crossing": 31, "rollercoaster": 70, "salsa": 86, "seasnake": 80,
        "skate-jump": 68, "slackline": 60, "subway": 88, "tandem": 72, "tennis-vest": 75, "tractor": 65,
    }.items()
}  # fmt: skip
OFFICIAL_SIZES: Mapping[str, Mapping[str, Size]] = {"val": _SIZES_VAL, "test-dev": _SIZES_TEST_DEV}
"""By split and sequence. Those of 2016 val are also in 2017 val, with as many frames of the same size.

Source:
    Frames of test-dev: the list in the repository of the 2017 challenge. The rest: the result masks that ship with
    DAVIS' own scorer.
"""


@dataclass(frozen=True)
class DavisVideo(FrameFolders):
    """One sequence."""

    merged: bool
    """Whether all objects count as one foreground (2016)."""

    @property
    def mask_files(self) -> Mapping[str, Path]:
        """File of every frame's mask, or of the first alone where only the server has the others."""
        return self._expected

    @cached_property
    def _expected(self) -> dict[str, Path]:
        return {name: self._mask_path(name) for name in (self.given if self.on_server else self.frame_names)}

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the frames that are scored: all but the first and the last.

        Raises:
            DataError: Nothing lies between them.
        """
        if len(self.frame_names) < 3:
            raise DataError(f"sequence {self.name}: {len(self.frame_names)} frames, first and last are not scored")
        return self.frame_names[1:-1]

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects: 1 where merged, else 1 to the highest id of the first mask.

        Raises:
            DataError: The first mask is missing, unreadable or empty.
        """
        return self._objects

    @cached_property
    def _objects(self) -> tuple[int, ...]:
        if self.merged:
            return (1,)
        highest = int(self.truth(self.frame_names[0]).max())
        if highest == 0:
            raise DataError(
                f"no object in {self._mask_path(self.frame_names[0])}: ids 1, 2 ... are expected; "
                "masks of 0 and 255 are DAVIS 2016's"
            )
        return tuple(range(1, highest + 1))

    def truth(self, frame: str) -> IdMap:
        """Read the true object ids of one frame, 0 for background (and for void, 255, in 2017).

        Raises:
            DataError: The mask is missing or cannot be read.
        """
        ids = super().truth(frame)
        return _foreground(ids) if self.merged else np.where(ids == _VOID, np.uint8(0), ids)


class Davis(Benchmark):
    """DAVIS at one resolution: the videos of one list."""

    def __init__(self, root: Path | str, *, year: Year, split: str) -> None:
        """Read the list of sequences.

        Args:
            root: Folder that holds ``Annotations``, ``JPEGImages`` and ``ImageSets``.
            year: 2016 merges all objects into one, 2017 keeps them apart.
            split: Name of the list: ``ImageSets/<year>/<split>.txt`` or ``ImageSets/<split>.txt``.

        Raises:
            DataError: The folder is no DAVIS, or its list is missing or empty.
        """
        self.root = Path(root)
        self.year: Year = year
        self.resolution = _resolution(self.root)
        self.name = f"davis-{year}-{split}"
        self.subset = split
        self.videos = tuple(self._video(name) for name in self._listed())
        self.note = self._note()
        self.archive_prefix = "" if split in _SERVER else None

    def read_result(self, path: Path) -> IdMap:
        """Read one frame's result: everything above 0 as object 1 for 2016, ids as they are for 2017."""
        ids = read_ids(path)
        return _foreground(ids) if self.year == 2016 else ids

    def faults(self) -> Iterator[str]:
        """Yield sequences missing from the list, and frames, widths and objects that are not the official ones."""
        if self._missing():
            yield f"list {self.subset}: {self._missing()}"
        official = OFFICIAL_SIZES.get(self.subset, {})
        for video in self.videos:
            if video.name in official:
                yield from self._differences(video, official[video.name])

    def unlisted(self) -> tuple[str, ...]:
        """Return the sequences whose pictures are there but which are not on this list; other lists may hold them."""
        listed = {video.name for video in self.videos}
        return tuple(name for name in folders_in(self.root / "JPEGImages" / self.resolution) if name not in listed)

    def _differences(self, video: LabelledVideo, official: Size) -> Iterator[str]:
        try:
            frames, objects = len(video.frame_names), len(video.objects)
            width = video.given_mask(video.given[0]).shape[1]
        except DataError:  # told apart from this, when the video itself is looked at
            return
        if frames != official.frames:
            yield f"sequence {video.name}: {frames} frames, the official one has {official.frames}"
        if self.resolution == _STANDARD and official.width and width != official.width:
            yield f"sequence {video.name}: {width} pixels wide, the official one is {official.width}"
        if self.year == 2017 and official.objects and objects != official.objects:
            yield f"sequence {video.name}: {objects} objects, the official one has {official.objects}"

    def _missing(self) -> str:
        official = _OFFICIAL.get((self.year, self.subset), len(self.videos))
        return "" if len(self.videos) == official else f"{len(self.videos)} of {official} sequences listed"

    def _note(self) -> str:
        notes = [self._missing()] if self._missing() else []
        if self.resolution != _STANDARD:
            notes.append(f"at {self.resolution}, published numbers are at {_STANDARD}")
        return "; ".join(notes)

    def _video(self, name: str) -> DavisVideo:
        return DavisVideo(
            name=name,
            frame_folder=self.root / "JPEGImages" / self.resolution / name,
            mask_folder=self.root / "Annotations" / self.resolution / name,
            merged=self.year == 2016,
            on_server=self.subset in _SERVER,
        )

    def _listed(self) -> tuple[str, ...]:
        lists = self.root / "ImageSets"
        places = [lists / str(self.year) / f"{self.subset}.txt", lists / f"{self.subset}.txt"]
        for path in places:
            if path.is_file():
                names = tuple(_sequences(path.read_text(encoding="utf-8-sig").splitlines()))
                if not names:
                    raise DataError(f"{path} lists no sequence: write one name per line")
                return names
        raise DataError(f"no list {places[0]}, nor {places[1]}: write the sequence names there, one per line")


def _foreground(ids: IdMap) -> IdMap:
    return (ids > 0).view(np.uint8)


def _sequences(lines: Iterable[str]) -> Iterable[str]:
    """Return the names in a list, once each; a line may also be a frame's path, as in the first DAVIS 2016."""
    words = [line.split()[0] for line in lines if line.strip()]
    return dict.fromkeys(Path(word).parent.name if "/" in word else word for word in words)


def _resolution(root: Path) -> str:
    folder = root / "Annotations"
    if not folder.is_dir():
        raise DataError(f"no folder {folder}: give the DAVIS folder that holds Annotations, JPEGImages and ImageSets")
    sizes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if _STANDARD in sizes:
        return _STANDARD
    if len(sizes) != 1:
        raise DataError(
            f"{folder} holds {', '.join(sizes) or 'nothing'}: {_STANDARD}, or one folder alone, is expected"
        )
    return sizes[0]


def _register(year: Year, split: str) -> None:
    objects = "one foreground" if year == 2016 else "several objects"
    about = f"DAVIS {year} {split}, semi-supervised: J and F, {objects} per video"
    BENCHMARKS.register(f"davis-{year}-{split}", about=about)(partial(Davis, year=year, split=split))


for _year, _split in _OFFICIAL:
    _register(_year, _split)
_register(2016, "dev")
