"""VIP: the body parts of people, given in the first frame of a video, followed through the others (mean IoU).

Source:
    Zhou et al. 2018, Video Instance-level Parsing, its part VIP-Fine. Layout, classes and rules as the public code of
    TimeCycle, UVC and Spa-then-Temp reads the data set.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, folders_in
from selfvos.data.benchmarks.frame_folders import FrameFolders
from selfvos.data.benchmarks.stored_ids import read_ids
from selfvos.data.mask_png import IdMap
from selfvos.errors import DataError

OFFICIAL_VIDEOS = 50
CLASSES = (
    "background", "hat", "hair", "sun-glasses", "upper-clothes", "dress", "coat", "socks", "pants", "gloves", "scarf",
    "skirt", "torso-skin", "face", "right-arm", "left-arm", "right-leg", "left-leg", "right-shoe", "left-shoe",
)  # fmt: skip
_VOID = 255
_SIZE = (560, 560)


class Variant(NamedTuple):
    """One script family of the field; its numbers compare with no other's."""

    about: str
    track: Mapping[str, Any]


VARIANTS: Mapping[str, Variant] = {
    "uvc": Variant(
        about="1 previous frame and the first, top 5; mean IoU as UVC",
        track={
            "refine": {"rounds": 0},
            "frame": {"size_px": _SIZE},
            "memory": {"last": 1},
            "match": {"top_k": 5},
            "show": {"decide_at": "tracked"},
            "labels": {"lost_below": 0.0},
        },
    ),
    "crw": Variant(
        about="20 previous frames and the first, top 10; mean IoU as CRW",
        track={
            "refine": {"rounds": 0},
            "frame": {"size_px": _SIZE},
            "memory": {"last": 20},
            "match": {"top_k": 10},
            "show": {"decide_at": "tracked"},
            "labels": {"lost_below": 0.0},
        },
    ),
    "spa": Variant(
        about="20 previous frames and the first, top 10, square window; mean IoU as Spa-then-Temp",
        track={
            "refine": {"rounds": 0},
            "frame": {"size_px": _SIZE},
            "memory": {"last": 20},
            # Their range of 32 cells is the whole width of the window, and holds for the first frame too.
            "match": {
                "top_k": 10, "radius_cells": 16.0, "window": "square", "temperature": 0.07, "exempt_permanent": False,
            },
            "labels": {"lost_below": 0.0},
        },
    ),
}  # fmt: skip


@dataclass(frozen=True)
class VipVideo(FrameFolders):
    """One video."""

    void = (_VOID,)

    @property
    def mask_files(self) -> Mapping[str, Path]:
        """File of every mask, by frame in natural order.

        Raises:
            DataError: There is none.
        """
        if not self._masks:
            raise DataError(f"no part map in {self.mask_folder}: download the annotations")
        return self._masks

    def _named(self) -> Mapping[str, Path]:
        return self.mask_files

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of all parts but the background, whether this video shows them or not."""
        return tuple(range(1, len(CLASSES)))

    @property
    def given(self) -> tuple[str, ...]:
        """Name of the first frame with a part map."""
        return tuple(self.mask_files)[:1]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of all frames from the given one on."""
        return self.tracked

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the frames with a part map, the given one included."""
        return tuple(self.mask_files)

    def given_mask(self, frame: str) -> IdMap:
        """Read the parts that a tracker is given in this frame, 0 for background and void."""
        ids = self.truth(frame)
        return np.where(ids == _VOID, np.uint8(0), ids)


class Vip(Benchmark):
    """The validation videos, under the rules of one variant."""

    task = "parts"
    labels = CLASSES

    def __init__(self, root: Path | str, *, variant: str) -> None:
        """Read the list of videos.

        Args:
            root: The folder ``VIP_Fine``, which holds ``Images/<video>/``, ``Annotations/Category_ids/<video>/`` and
                ``lists/val_videos.txt`` with one name per line.
            variant: Whose rules: ``uvc``, ``crw`` or ``spa``.

        Raises:
            DataError: The list is missing or empty.
        """
        self.root = Path(root)
        self.name, self.subset = f"vip-{variant}", "val"
        self.track = MappingProxyType(VARIANTS[variant].track)
        self._frames, masks = self.root / "Images", self.root / "Annotations" / "Category_ids"
        names = _listed(self.root / "lists" / "val_videos.txt")
        self.videos = tuple(VipVideo(name, self._frames / name, masks / name) for name in names)
        self.note = "; ".join(self._missing())

    def read_result(self, path: Path) -> IdMap:
        """Read one frame's result: ids as they are."""
        return read_ids(path)

    def faults(self) -> Iterator[str]:
        """Yield that the list is not the official one."""
        yield from (f"list {self.subset}: {fault}" for fault in self._missing())

    def unlisted(self) -> tuple[str, ...]:
        """Return the videos whose pictures are there but which are not on the list; other lists may hold them."""
        listed = {video.name for video in self.videos}
        return tuple(name for name in folders_in(self._frames) if name not in listed)

    def _missing(self) -> list[str]:
        count = len(self.videos)
        return [] if count == OFFICIAL_VIDEOS else [f"{count} of {OFFICIAL_VIDEOS} videos listed"]


def _listed(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise DataError(f"no list {path}: give the folder VIP_Fine, which holds Images, Annotations and lists")
    names = tuple(dict.fromkeys(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()))
    if not any(names):
        raise DataError(f"{path} lists no video: write one name per line")
    return tuple(filter(None, names))


for _name, _variant in VARIANTS.items():
    BENCHMARKS.register(f"vip-{_name}", about=f"VIP-Fine val: body parts, 560x560, {_variant.about}")(
        partial(Vip, variant=_name)
    )
