"""The folders of DAVIS 2017."""

from pathlib import Path
from typing import ClassVar

from selfvos.formats.base import FORMATS, Format, Job, Part
from selfvos.formats.layout import MOST_ID, write_masks_and_frames
from selfvos.formats.mask_folder import folder_name, only_folder, read_masks
from selfvos.formats.memory import Track
from selfvos.storage import write_text
from selfvos.types import TrackReader

_RESOLUTION = "480p"
_LIST = Path("ImageSets", "2017", "val.txt")


@FORMATS.register("davis")
class DavisLayout(Format):
    """Folders of DAVIS 2017: Annotations/480p/VIDEO, with the video's frames and a list beside it."""

    name: ClassVar = "davis"
    holds: ClassVar[frozenset[Part]] = frozenset({"masks"})
    readers: ClassVar = "DAVIS' scorer and all that reads DAVIS 2017, such as 'selfvos evaluate'"
    pictures: ClassVar = "optional"
    most_id: ClassVar = MOST_ID

    def recognises(self, path: Path) -> bool:
        """Say whether it has DAVIS' folder of masks."""
        return (path / "Annotations" / _RESOLUTION).is_dir()

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        name = folder_name(track)
        masks, frames = (out / kind / _RESOLUTION / name for kind in ("Annotations", "JPEGImages"))
        write_masks_and_frames(track, job, masks, frames)
        write_text(out / _LIST, f"{name}\n")

    def _read(self, path: Path) -> Track:
        return read_masks(only_folder(path / "Annotations" / _RESOLUTION))
