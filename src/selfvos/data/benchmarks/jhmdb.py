"""JHMDB: the joints of a person, given in the first frame of a clip, followed through the others (PCK).

Source:
    Jhuang et al. 2013. Layout, lists and places less 1 as the public code of UVC, CRW and Spa-then-Temp reads them;
    the names of the joints and the split files in ``splits`` are general knowledge.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.io import loadmat

from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, picture_of_each
from selfvos.data.points import Points, PointVideo
from selfvos.data.source import natural
from selfvos.errors import DataError

OFFICIAL_VIDEOS = 268
"""Test videos of split 1."""
JOINTS = (
    "neck", "belly", "face", "right shoulder", "left shoulder", "right hip", "left hip", "right elbow", "left elbow",
    "right knee", "left knee", "right wrist", "left wrist", "right ankle", "left ankle",
)  # fmt: skip
_SIZE = (320, 320)
_LISTS = ("val.txt", "val_list.txt", "testlist_split1.txt")
_TEST = "2"
"""How the split files mark a test video."""


class Variant(NamedTuple):
    """One script family of the field; its numbers compare with no other's."""

    about: str
    skip_first: bool
    """Whether the first frame, whose joints are given, is left out of the score."""
    track: Mapping[str, Any]


VARIANTS: Mapping[str, Variant] = {
    "crw": Variant(
        about="joints, 320x320, Gaussians on feature cells, first frame not scored; PCK as CRW",
        skip_first=True,
        track={
            "refine": {"rounds": 0},
            "frame": {"size_px": _SIZE},
            "memory": {"last": 20},
            "match": {"top_k": 10},
            "points": {"grid": "cells", "sigma": 0.5, "top": 3},
        },
    ),
    "spa": Variant(
        about="joints, 320x320, Gaussians on native pixels, first frame scored; PCK as Spa-then-Temp",
        skip_first=False,
        track={
            "refine": {"rounds": 0},
            "frame": {"size_px": _SIZE},
            "memory": {"last": 20},
            # Their range of 10 cells is the whole width of the window, and holds for the first frame too.
            "match": {
                "top_k": 10, "radius_cells": 5.0, "window": "square", "temperature": 0.07, "exempt_permanent": False,
            },
            "points": {"grid": "pixels", "sigma": 4.0, "top": 5},
        },
    ),
}  # fmt: skip


@dataclass(frozen=True)
class JhmdbVideo(PointVideo):
    """One clip; its frames are those that have joints, named ``00001`` onwards."""

    name: str
    category: str
    """Class of the action, which is also the folder that the clip lies in."""
    frame_folder: Path
    joint_file: Path
    skip_first: bool

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Name of every frame that has joints, in order.

        Raises:
            DataError: The file of the joints is missing or broken.
        """
        return tuple(f"{t + 1:05d}" for t in range(len(self._joints)))

    @property
    def frames(self) -> tuple[Path, ...]:
        """Picture of every frame, in order.

        Raises:
            DataError: A frame has no picture.
        """
        return picture_of_each(self.frame_folder, self.frame_names, (".png",))

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the joints, 1 to 15."""
        return tuple(range(1, len(JOINTS) + 1))

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the frames that are scored."""
        return self.frame_names[1:] if self.skip_first else self.frame_names

    def points(self, frame: str) -> Points:
        """Return the true places of the joints in the frame called so."""
        return self._joints[self.frame_names.index(frame)]

    @cached_property
    def _joints(self) -> Float64[np.ndarray, "t j 2"]:
        return _read_joints(self.joint_file)


class Jhmdb(Benchmark):
    """The test videos of split 1, under the rules of one variant."""

    task = "points"
    labels = JOINTS

    def __init__(self, root: Path | str, *, variant: str) -> None:
        """Read the list of videos.

        Args:
            root: Holds ``joint_positions/<class>/<video>/joint_positions.mat``, ``Rename_Images/<class>/<video>/``
                with pictures, and the list: ``val.txt`` with a line for each video, or the split files
                ``splits/<class>_test_split1.txt``.
            variant: Whose rules: ``crw`` or ``spa``.

        Raises:
            DataError: There is no list, it names no video, or it names one that is nowhere.
        """
        self.root = Path(root)
        self.name, self.subset = f"jhmdb-{variant}", "val"
        rules = VARIANTS[variant]
        self.track = MappingProxyType(rules.track)
        self.videos = tuple(self._video(*names, rules) for names in _listed(self.root))
        self.note = "; ".join(self._missing())

    def read_result(self, path: Path) -> Any:
        """Refuse: results are tables of points, not masks.

        Raises:
            DataError: Always.
        """
        raise DataError(f"{path} is asked for as a mask, results of {self.name} are tables of points")

    def faults(self) -> Iterator[str]:
        """Yield that the list is not the official one."""
        yield from (f"list {self.subset}: {fault}" for fault in self._missing())

    def _missing(self) -> list[str]:
        count = len(self.videos)
        return [] if count == OFFICIAL_VIDEOS else [f"{count} of {OFFICIAL_VIDEOS} videos listed"]

    def _video(self, category: str, name: str, rules: Variant) -> JhmdbVideo:
        return JhmdbVideo(
            name=name,
            category=category,
            frame_folder=self.root / "Rename_Images" / category / name,
            joint_file=self.root / "joint_positions" / category / name / "joint_positions.mat",
            skip_first=rules.skip_first,
        )


def _read_joints(path: Path) -> Float64[np.ndarray, "t j 2"]:
    if not path.is_file():
        raise DataError(f"no joints {path}: download the joint positions")
    try:
        places = np.asarray(loadmat(path, variable_names=["pos_img"])["pos_img"], np.float64)  # x and y, joint, frame
    except KeyError as error:
        raise DataError(f"{path} has no pos_img: download the joint positions again") from error
    # A broken file makes the reader fail in many ways.
    except Exception as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}): download it again") from error
    if places.ndim == 2:  # a single frame
        places = places[:, :, None]
    if places.ndim != 3 or places.shape[:2] != (2, len(JOINTS)) or not np.isfinite(places).all():
        raise DataError(
            f"{path}: pos_img is {places.shape}, expected finite numbers of shape (2, {len(JOINTS)}, frames)"
        )
    return np.ascontiguousarray(places.transpose(2, 1, 0)) - 1


def _listed(root: Path) -> tuple[tuple[str, str], ...]:
    """Return class and name of every test video, once each."""
    own = next((root / name for name in _LISTS if (root / name).is_file()), None)
    if own is not None:
        words = (line.split() for line in own.read_text(encoding="utf-8-sig").splitlines() if line.strip())
        found, source = [_names(line, own) for line in words], own
    else:
        source = root / "splits"
        files = sorted(source.glob("*_test_split1.txt"), key=lambda path: natural(path.name))
        found = [pair for path in files for pair in _split(path)]
    if not found:
        raise DataError(f"no video is listed in {root}: write CLASS/VIDEO lines to {root / _LISTS[0]}")
    return tuple(dict.fromkeys(found))


def _names(words: list[str], path: Path) -> tuple[str, str]:
    """Return class and video of a line: ``CLASS/VIDEO``, or the paths of the joints and the pictures."""
    parts = Path(words[0]).parts
    parts = parts[:-1] if parts[-1].endswith(".mat") else parts
    if len(parts) < 2:
        raise DataError(f"{path}: {words[0]!r} names no video; write CLASS/VIDEO")
    return parts[-2], parts[-1]


def _split(path: Path) -> Iterable[tuple[str, str]]:
    """Return class and name of the test videos in a split file, whose lines are ``VIDEO.avi 1`` or ``VIDEO.avi 2``."""
    category = path.name.removesuffix("_test_split1.txt")
    lines = (line.split() for line in path.read_text(encoding="utf-8-sig").splitlines())
    return [(category, words[0].removesuffix(".avi")) for words in lines if len(words) > 1 and words[1] == _TEST]


for _name, _variant in VARIANTS.items():
    BENCHMARKS.register(f"jhmdb-{_name}", about=f"JHMDB split 1: {_variant.about}")(partial(Jhmdb, variant=_name))
