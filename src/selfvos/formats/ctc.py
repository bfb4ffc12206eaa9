"""The Cell Tracking Challenge: a label TIFF for each frame, and a table of tracks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from selfvos.data.mask_png import IdMap, read_mask
from selfvos.data.source import natural
from selfvos.errors import DataError
from selfvos.formats.base import FORMATS, Format, Job, Part, each_mask
from selfvos.formats.memory import Known, Track, blank, track_of
from selfvos.storage import atomic_path, write_text
from selfvos.types import TrackReader

_TRUTH = Path("01_GT", "TRA")
_TABLES = ("man_track.txt", "res_track.txt")
_MOST_LABEL = 65535


@dataclass
class _Segment:
    """An unbroken piece of an object's track."""

    label: int
    first: int
    last: int
    parent: int
    """Label of the piece before it; 0 for none."""


@FORMATS.register("ctc")
class CellTracking(Format):
    """Cell Tracking Challenge: 01_GT/TRA with a 16-bit label TIFF for each frame and man_track.txt."""

    name: ClassVar = "ctc"
    holds: ClassVar[frozenset[Part]] = frozenset({"masks"})
    readers: ClassVar = "tools of the Cell Tracking Challenge, traccuracy, TrackMate, micro-sam, napari"

    def recognises(self, path: Path) -> bool:
        """Say whether it has a table of tracks."""
        return _folder(path) is not None

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        digits = max(3, len(str(len(track.frames) - 1)))
        pieces = _Pieces(max((thing.id for thing in track.objects), default=0))
        for place, (_, ids) in enumerate(each_mask(track, job)):
            labels = pieces.relabel(place, ids)
            with atomic_path(out / _TRUTH / f"man_track{place:0{digits}d}.tif") as path:
                Image.fromarray(labels).save(path, format="TIFF", compression="tiff_adobe_deflate")
        lines = [f"{s.label} {s.first} {s.last} {s.parent}\n" for s in sorted(pieces.all, key=lambda s: s.label)]
        write_text(out / _TRUTH / _TABLES[0], "".join(lines))

    def _read(self, path: Path) -> Track:
        folder = _folder(path)
        if folder is None:
            raise DataError(f"{path} holds no {' or '.join(_TABLES)}; give the folder of one sequence's tracks")
        files = sorted([*folder.glob("man_track*.tif"), *folder.glob("mask*.tif")], key=lambda f: natural(f.name))
        table = next(folder / name for name in _TABLES if (folder / name).is_file())
        roots = _roots(_segments(table))

        def read(place: int) -> IdMap:
            labels = read_mask(files[place])
            numbers = np.arange(int(labels.max(initial=0)) + 1)
            for label, root in roots.items():
                if label < len(numbers):
                    numbers[label] = root
            ids = blank((labels.shape[0], labels.shape[1]), int(numbers.max()))
            ids[:] = numbers[labels]
            return ids

        return track_of(read, len(files), Known(name=path.resolve().name))


class _Pieces:
    """Gives an object that comes back a new label, as the challenge demands; its parent is the label before."""

    def __init__(self, highest: int) -> None:
        self._fresh = highest + 1
        self._open: dict[int, _Segment] = {}
        self.all: list[_Segment] = []

    def relabel(self, place: int, ids: np.ndarray) -> np.ndarray:
        """Return a frame's labels."""
        labels = np.arange(int(ids.max(initial=0)) + 1, dtype=np.uint16)
        for number in np.flatnonzero(np.bincount(ids.ravel())[1:]) + 1:
            labels[number] = self._label(int(number), place)
        return labels[ids]

    def _label(self, number: int, place: int) -> int:
        piece = self._open.get(number)
        if piece is None:
            piece = _Segment(label=number, first=place, last=place, parent=0)
        elif piece.last == place - 1:
            piece.last = place
            return piece.label
        else:
            piece = _Segment(label=self._fresh, first=place, last=place, parent=piece.label)
            self._fresh += 1
        if piece.label > _MOST_LABEL:
            raise DataError(f"objects come back so often that labels exceed {_MOST_LABEL}; choose tiff or coco")
        self._open[number] = piece
        self.all.append(piece)
        return piece.label


def _folder(path: Path) -> Path | None:
    places = (path, path / _TRUTH, path / "TRA")
    return next((place for place in places if any((place / name).is_file() for name in _TABLES)), None)


def _segments(table: Path) -> list[_Segment]:
    try:
        return [_Segment(*map(int, line.split())) for line in table.read_text().splitlines() if line.strip()]
    except (ValueError, TypeError) as error:
        raise DataError(f"{table}: each line has label, first frame, last frame and parent; mend it") from error


def _roots(segments: Sequence[_Segment]) -> dict[int, int]:
    """Return which object each label is: its own, or that of a parent whose only child it is (an object come back)."""
    children: dict[int, int] = {}
    for segment in segments:
        children[segment.parent] = children.get(segment.parent, 0) + 1
    roots: dict[int, int] = {}
    for segment in sorted(segments, key=lambda s: s.first):
        came_back = segment.parent and children[segment.parent] == 1
        roots[segment.label] = roots.get(segment.parent, segment.parent) if came_back else segment.label
    return roots
