"""Masks as a folder of PNGs, named like their frames: what several formats have in common."""

from dataclasses import replace
from pathlib import Path

from selfvos.data.mask_png import read_mask
from selfvos.data.source import natural
from selfvos.errors import DataError
from selfvos.formats.memory import Known, Track, moments_at, track_of
from selfvos.types import TrackReader

_MASKS = "masks"


def mask_files(folder: Path) -> list[Path]:
    """Return the PNGs of a folder, or else of the folder ``masks`` in it, in natural order."""
    for place in (folder, folder / _MASKS):
        files = [file for file in place.glob("*.png") if not file.name.startswith(".")] if place.is_dir() else []
        if files:
            return sorted(files, key=lambda file: natural(file.name))
    return []


def read_masks(folder: Path, known: Known | None = None) -> Track:
    """Read the masks of a folder; each is read twice, to be measured and when it is asked for.

    Args:
        folder: Holds PNGs named like their frames.
        known: What is known besides; by default the folder's name is that of the video.

    Raises:
        DataError: There is no PNG, or one cannot be read as a mask.
    """
    files = mask_files(folder)
    if not files:
        raise DataError(f"no PNG in {folder}; give the folder that holds one mask for each frame")
    given = known or Known(name=folder.resolve().name)
    moments = given.moments or moments_at(given.fps, [file.stem for file in files])
    return track_of(lambda place: read_mask(files[place]), len(files), replace(given, moments=moments))


def folder_name(track: TrackReader) -> str:
    """Return what a track's folder is called: its name, without what would lead elsewhere."""
    return track.name.replace("/", "_").replace("\\", "_").strip(". ") or "video"


def only_folder(parent: Path) -> Path:
    """Return the one folder in a folder.

    Raises:
        DataError: There are several, or none.
    """
    found = sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5]) or "none"
        raise DataError(f"{parent} holds {len(found)} videos ({names}); give the folder of one of them")
    return found[0]
