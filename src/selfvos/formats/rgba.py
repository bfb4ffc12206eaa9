"""One PNG with opacity for each frame."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from selfvos.formats.base import FORMATS, Job, each_picture
from selfvos.formats.cut_out import CutOut
from selfvos.storage import atomic_path
from selfvos.types import TrackReader


@FORMATS.register("rgba")
class CutOutPng(CutOut):
    """Folder of PNGs in colour with opacity: the frames, transparent where no object is."""

    name: ClassVar = "rgba"
    readers: ClassVar = "After Effects, Blender, Nuke, image editors"

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        for frame, place in each_picture(track, job):
            with atomic_path(out / f"{track.frames[place].name}.png") as path:
                picture = Image.fromarray(np.dstack((frame.rgb, self.opacity(track, place, frame.rgb))))
                picture.save(path, format="PNG", compress_level=1)
