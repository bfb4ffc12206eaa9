"""One 16-bit grey PNG for each frame."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from selfvos.formats.base import FORMATS, Format, Job, Part, each_mask
from selfvos.formats.mask_folder import read_masks
from selfvos.formats.memory import Track
from selfvos.storage import atomic_path
from selfvos.types import TrackReader


@FORMATS.register("png16")
class DeepPng(Format):
    """Folder of 16-bit grey PNGs, one for each frame, for ids up to 65535."""

    name: ClassVar = "png16"
    holds: ClassVar[frozenset[Part]] = frozenset({"masks"})
    readers: ClassVar = "ImageJ, MATLAB, OpenCV, scikit-image"

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        for record, ids in each_mask(track, job):
            with atomic_path(out / f"{record.name}.png") as path:
                picture = Image.fromarray(np.ascontiguousarray(ids, np.uint16))
                picture.save(path, format="PNG", compress_level=1)

    def _read(self, path: Path) -> Track:
        return read_masks(path)
