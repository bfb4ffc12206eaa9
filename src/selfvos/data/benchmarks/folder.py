"""Anyone's own labelled videos: pictures and masks in two folders, with masks on as many frames as there are."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, files_by_frame, folders_in
from selfvos.data.benchmarks.frame_folders import FrameFolders, only_new
from selfvos.data.mask_png import IdMap, read_mask
from selfvos.data.source import PICTURES
from selfvos.errors import DataError

_FRAMES = ("frames", "JPEGImages")
_MASKS = ("masks", "Annotations")


@dataclass(frozen=True)
class FolderVideo(FrameFolders):
    """One video; its objects are found by reading all its masks once."""

    pictures = PICTURES

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of all objects that any mask shows, ascending.

        Raises:
            DataError: A mask cannot be read, or none shows an object.
        """
        return tuple(self._given_at)

    @cached_property
    def _given_at(self) -> dict[int, str]:
        """Name of the first labelled frame that shows each object, by ascending id."""
        first: dict[int, str] = {}
        for frame in self.mask_files:
            for id in np.unique(self.truth(frame)).tolist():
                first.setdefault(id, frame)
        first.pop(0, None)
        if not first:
            raise DataError(f"no object in the masks of {self.mask_folder}: draw ids 1, 2 ... on at least one frame")
        return dict(sorted(first.items()))

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the frames in which an object is labelled for the first time."""
        return tuple(frame for frame in self.mask_files if frame in self._given_at.values())

    @property
    def required(self) -> tuple[str, ...]:
        """Names of all frames from the first given one on."""
        return self.tracked

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the labelled frames after the first given one."""
        return self._after(self.given[0])

    def counted_for(self, object_id: int) -> tuple[str, ...]:
        """Names of the labelled frames after the one in which the object is given."""
        return self._after(self._given_at[object_id])

    def given_mask(self, frame: str) -> IdMap:
        """Read the objects that are labelled in this frame for the first time."""
        new = [id for id, first in self._given_at.items() if first == frame]
        return only_new(self.truth(frame), new)

    def _read(self, path: Path) -> IdMap:
        return read_mask(path)

    def _absent(self, frame: str) -> str:
        return f"no mask of frame {frame} in {self.mask_folder}: only labelled frames have one"

    def _after(self, frame: str) -> tuple[str, ...]:
        labelled = tuple(self.mask_files)
        return labelled[labelled.index(frame) + 1 :]


class Folder(Benchmark):
    """Labelled videos of one's own: every object is given where it first appears and scored where it is labelled after.

    Frames before an object's first mask are left out of its scores: there is nothing to find in them yet.
    """

    def __init__(self, root: Path | str) -> None:
        """List the videos.

        Args:
            root: Holds ``frames/<video>/`` with pictures and ``masks/<video>/`` with PNGs that `read_mask` reads, named
                like the frames they label; for a single video the folders of the videos may be left out. The
                folders may also be called ``JPEGImages`` and ``Annotations``.

        Raises:
            DataError: There are no masks.
        """
        root = Path(root)
        self.name = self.subset = "folder"
        self._frames, masks = _either(root, _FRAMES), _either(root, _MASKS)
        if not masks.is_dir():
            raise DataError(f"no folder {masks}: write the masks of each video to a folder in there")
        if files_by_frame(masks, {".png"}):
            self.videos = (FolderVideo(root.resolve().name, self._frames, masks),)
        else:
            self.videos = tuple(FolderVideo(name, self._frames / name, masks / name) for name in folders_in(masks))
        if not any(video.mask_files for video in self.videos):
            raise DataError(f"no masks in {masks}: write one folder of PNGs for each video there")
        self.note = f"videos left out for want of masks: {len(self.unlisted())}" if self.unlisted() else ""

    def unlisted(self) -> tuple[str, ...]:
        """Return the videos that have pictures and no masks."""
        listed = {video.name for video in self.videos}
        return tuple(name for name in folders_in(self._frames) if name not in listed)

    def read_result(self, path: Path) -> IdMap:
        """Read one frame's result, as the masks of the benchmark are read."""
        return read_mask(path)


def _either(root: Path, names: tuple[str, str]) -> Path:
    """Return the folder that is there; where none is, the first, for messages."""
    return next((root / name for name in names if (root / name).is_dir()), root / names[0])


BENCHMARKS.register(
    "folder", about="your own data: frames/VIDEO/ and masks/VIDEO/, masks on some or all frames; J and F"
)(Folder)
