"""One palette PNG for each frame: what this package writes itself, and what most tools of the field read."""

from pathlib import Path
from typing import ClassVar

from selfvos.data.mask_png import write_mask
from selfvos.formats.base import FORMATS, Format, Job, Part, each_mask
from selfvos.formats.mask_folder import mask_files, read_masks
from selfvos.formats.memory import Track
from selfvos.types import TrackReader


@FORMATS.register("png")
class PalettePng(Format):
    """Folder of palette PNGs, one for each frame: ids as indices, in the PASCAL-VOC colours."""

    name: ClassVar = "png"
    holds: ClassVar[frozenset[Part]] = frozenset({"masks"})
    readers: ClassVar = "tools of DAVIS and YouTube-VOS, image editors"
    most_id: ClassVar = 255

    def recognises(self, path: Path) -> bool:
        """Say whether it is a folder of PNGs, or one that holds them in ``masks``."""
        return bool(mask_files(path))

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        for record, ids in each_mask(track, job):
            write_mask(out / f"{record.name}.png", ids)

    def _read(self, path: Path) -> Track:
        return read_masks(path)
