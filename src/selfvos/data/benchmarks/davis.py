"""DAVIS 2016 (one foreground object) and DAVIS 2017 (several), in the folder layout of the dataset."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, LabelledVideo
from selfvos.data.source import natural
from selfvos.errors import DataError, MaskMismatch

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
_ON_SERVER = "only the official server has it, submit the results there"


@dataclass(frozen=True)
class DavisVideo(LabelledVideo):
    """One sequence; files are listed and read when first asked for."""

    name: str
    frame_folder: Path
    mask_folder: Path
    merged: bool
    """Whether all objects count as one foreground (2016)."""
    truth_hint: str = "download the annotations"
    """What to do about a missing mask."""

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Name of every frame that has a picture or a mask, without suffix, in natural order.

        Raises:
            DataError: Neither folder holds a frame.
        """
        return self._frame_names

    @cached_property
    def _frame_names(self) -> tuple[str, ...]:
        names = {*_stems(self.frame_folder, ".jpg"), *_stems(self.mask_folder, ".png")}
        if not names:
            raise DataError(f"sequence {self.name}: no frame in {self.frame_folder} and no mask in {self.mask_folder}")
        return tuple(sorted(names, key=natural))

    @property
    def frames(self) -> tuple[Path, ...]:
        """Picture of every frame, in natural order.

        Raises:
            DataError: A frame has no picture.
        """
        paths = tuple(self.frame_folder / f"{name}.jpg" for name in self.frame_names)
        present = set(_stems(self.frame_folder, ".jpg"))
        absent = [path for path in paths if path.stem not in present]
        if absent:
            raise DataError(f"no frame {absent[0]} ({len(absent)} of {len(paths)} missing): download the frames")
        return paths

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

    def truth(self, frame: str) -> UInt8[np.ndarray, "y x"]:
        """Read the true object ids of one frame, 0 for background (and for void, 255, in 2017).

        Raises:
            DataError: The mask is missing or cannot be read.
        """
        path = self._mask_path(frame)
        if not path.is_file():
            raise DataError(f"no annotation {path}: {self.truth_hint}")
        ids = read_ids(path)
        return _foreground(ids) if self.merged else np.where(ids == _VOID, np.uint8(0), ids)

    def _mask_path(self, frame: str) -> Path:
        return self.mask_folder / f"{frame}.png"


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

    def read_result(self, path: Path) -> UInt8[np.ndarray, "y x"]:
        """Read one frame's result: everything above 0 as object 1 for 2016, ids as they are for 2017."""
        ids = read_ids(path)
        return _foreground(ids) if self.year == 2016 else ids

    def _note(self) -> str:
        official = _OFFICIAL.get((self.year, self.subset), len(self.videos))
        notes = []
        if len(self.videos) != official:
            notes.append(f"{len(self.videos)} of {official} sequences listed")
        if self.resolution != _STANDARD:
            notes.append(f"at {self.resolution}, published numbers are at {_STANDARD}")
        return "; ".join(notes)

    def _video(self, name: str) -> DavisVideo:
        return DavisVideo(
            name=name,
            frame_folder=self.root / "JPEGImages" / self.resolution / name,
            mask_folder=self.root / "Annotations" / self.resolution / name,
            merged=self.year == 2016,
            truth_hint=_ON_SERVER if self.subset in _SERVER else DavisVideo.truth_hint,
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


def read_ids(path: Path) -> UInt8[np.ndarray, "y x"]:
    """Read the object ids of a palette or grey PNG: the stored numbers, whatever their colours.

    Raises:
        DataError: The file cannot be read as a picture.
        MaskMismatch: It holds colours instead of ids.
    """
    try:
        with Image.open(path) as image:
            if image.mode == "LA":  # one annotation of DAVIS 2016 carries an opaque second channel
                return np.asarray(image.getchannel("L"))
            ids = np.asarray(image)
            mode = image.mode
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read mask {path}: {str(error) or type(error).__name__}; write it again") from error
    if mode not in {"1", "L", "P"}:
        raise MaskMismatch(
            f"mask {path} holds colours ({mode}), not object ids: save it as a palette or 8-bit grey PNG"
        )
    return ids.astype(np.uint8, copy=False)


def _foreground(ids: UInt8[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y x"]:
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


def _stems(folder: Path, suffix: str) -> list[str]:
    if not folder.is_dir():
        return []
    return [path.stem for path in folder.iterdir() if path.suffix == suffix and not path.name.startswith(".")]


def _register(year: Year, split: str) -> None:
    objects = "one foreground" if year == 2016 else "several objects"
    about = f"DAVIS {year} {split}, semi-supervised: J and F, {objects} per video"
    BENCHMARKS.register(f"davis-{year}-{split}", about=about)(partial(Davis, year=year, split=split))


for _year, _split in _OFFICIAL:
    _register(_year, _split)
_register(2016, "dev")
