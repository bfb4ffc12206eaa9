"""Videos in two folders, one of pictures and one of masks, which carry the names of the frames that they label."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from selfvos.data.benchmarks.base import LabelledVideo, files_by_frame, picture_of_each
from selfvos.data.benchmarks.stored_ids import read_ids
from selfvos.data.mask_png import IdMap
from selfvos.data.source import natural
from selfvos.errors import DataError


@dataclass(frozen=True)
class FrameFolders(LabelledVideo):
    """One such video; files are listed and read when first asked for."""

    pictures: ClassVar[Collection[str]] = (".jpg",)
    """How names of pictures end."""
    name: str
    frame_folder: Path
    mask_folder: Path
    _: KW_ONLY
    on_server: bool = False
    """Whether only the server has the masks of frames in which no object is given."""

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Name of every frame that has a picture or a mask, without suffix, in natural order.

        Raises:
            DataError: Neither folder holds a frame.
        """
        return self._frame_names

    @cached_property
    def _frame_names(self) -> tuple[str, ...]:
        names = in_order({*self._pictures, *self._named()})
        if not names:
            raise DataError(f"{self.name}: no frame in {self.frame_folder} and no mask in {self.mask_folder}")
        return names

    @property
    def frames(self) -> tuple[Path, ...]:
        """Picture of every frame, in natural order.

        Raises:
            DataError: A frame has no picture: it is missing, or masks and pictures have different names.
        """
        self._require_same_names()
        return picture_of_each(self.frame_folder, self.frame_names, self.pictures)

    @property
    def mask_files(self) -> Mapping[str, Path]:
        """File of every mask, by frame in natural order; see `LabelledVideo`."""
        return self._masks

    def truth(self, frame: str) -> IdMap:
        """Read the true ids of one frame, 0 for background.

        Raises:
            DataError: The mask is missing or cannot be read.
        """
        path = self._mask_path(frame)
        if not path.is_file():
            raise DataError(self._absent(frame))
        return self._read(path)

    def _named(self) -> Collection[str]:
        """Return the names of the frames that have a mask, be it here or on a server."""
        return self._masks

    def _read(self, path: Path) -> IdMap:
        return read_ids(path)

    def _absent(self, frame: str) -> str:
        """Say that a frame has no mask here, and what to do about it."""
        kept_back = self.on_server and frame not in self.given
        hint = "only the official server has it, submit the results there" if kept_back else "download the annotations"
        return f"no annotation {self._mask_path(frame)}: {hint}"

    def _mask_path(self, frame: str) -> Path:
        return self._masks.get(frame, self.mask_folder / f"{frame}.png")

    @cached_property
    def _masks(self) -> dict[str, Path]:
        return files_by_frame(self.mask_folder, {".png"})

    @cached_property
    def _pictures(self) -> dict[str, Path]:
        return files_by_frame(self.frame_folder, self.pictures)

    def _require_same_names(self) -> None:
        """Refuse masks that are named otherwise than the pictures are, as 7.png beside 00007.jpg."""
        masks = [path for name, path in self._masks.items() if name not in self._pictures]
        named = set(self._named())
        picture = next((path for name, path in self._pictures.items() if name not in named), None)
        if masks and picture:
            lost = self.frame_folder / f"{masks[0].stem}{picture.suffix}"
            raise DataError(
                f"no frame {lost} ({len(masks)} of {len(self.frame_names)} missing): mask {masks[0]} has no picture of "
                f"its name, and picture {picture.name} no mask; name masks like the frames that they label"
            )


def only_new(ids: IdMap, new: Iterable[int]) -> IdMap:
    """Return a mask that shows these objects alone."""
    return np.where(np.isin(ids, list(new)), ids, ids.dtype.type(0))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names in natural order, once each."""
    return tuple(sorted(set(names), key=natural))
