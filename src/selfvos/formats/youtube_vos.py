"""The folders of YouTube-VOS."""

import json
from pathlib import Path
from typing import ClassVar

from selfvos.data.track_record import default_object
from selfvos.errors import DataError
from selfvos.formats.base import FORMATS, Format, Job, Part
from selfvos.formats.layout import MOST_ID, write_masks_and_frames
from selfvos.formats.mask_folder import folder_name, only_folder, read_masks
from selfvos.formats.memory import Known, Track
from selfvos.formats.text import parse_json
from selfvos.storage import write_text
from selfvos.types import TrackReader

_ABOUT = "meta.json"


@FORMATS.register("youtube-vos")
class YoutubeVosLayout(Format):
    """Folders of YouTube-VOS: Annotations/VIDEO, with meta.json (objects, their names and frames) beside it."""

    name: ClassVar = "youtube-vos"
    holds: ClassVar[frozenset[Part]] = frozenset({"masks", "names"})
    readers: ClassVar = "all that reads YouTube-VOS; its server, when Annotations is zipped"
    pictures: ClassVar = "optional"
    most_id: ClassVar = MOST_ID

    def recognises(self, path: Path) -> bool:
        """Say whether it has the folder of masks and the list of objects."""
        return (path / "Annotations").is_dir() and (path / _ABOUT).is_file()

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        name = folder_name(track)
        write_masks_and_frames(track, job, out / "Annotations" / name, out / "JPEGImages" / name)
        seen: dict[int, list[str]] = {thing.id: [] for thing in track.objects}
        for record in track.frames:
            for state in record.objects:
                if state.area:
                    seen[state.id].append(record.name)
        objects = {str(thing.id): {"category": thing.name, "frames": seen[thing.id]} for thing in track.objects}
        write_text(out / _ABOUT, json.dumps({"videos": {name: {"objects": objects}}}, indent=1) + "\n")

    def _read(self, path: Path) -> Track:
        folder = only_folder(path / "Annotations")
        about = parse_json(path / _ABOUT)
        try:
            names = {int(number): str(what["category"]) for number, what in _objects(about, folder.name).items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path / _ABOUT} does not list the objects of {folder.name}; export it again") from error
        objects = {i: default_object(i, called) for i, called in names.items()}
        return read_masks(folder, Known(name=folder.name, objects=objects))


def _objects(about: dict, video: str) -> dict:
    return about["videos"][video]["objects"]
