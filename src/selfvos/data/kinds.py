"""Which files hold frames, and in which order they come: one list and one rule for all that read them."""

import re
from collections.abc import Iterable
from pathlib import Path

from selfvos.data.files import named
from selfvos.errors import DataError

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
"""How names of pictures end."""
PAGED = frozenset({".png", ".webp", ".tif", ".tiff"})
"""Those of them that can hold several pictures."""
VIDEOS = frozenset(
    # Containers; what they are called on cameras, discs and in broadcasting; animations; and bare streams.
    {".mp4", ".m4v", ".mov", ".qt", ".mj2", ".3gp", ".3g2", ".3gpp", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf"}
    | {".flv", ".f4v", ".ogv", ".ogm", ".ogg", ".rm", ".rmvb", ".nut", ".mxf", ".dv", ".y4m", ".ivf", ".obu"}
    | {".ts", ".mts", ".m2ts", ".m2t", ".trp", ".mpg", ".mpeg", ".mpe", ".vob", ".m1v", ".m2v", ".mpv", ".gif", ".apng"}
    | {".h264", ".264", ".hevc", ".h265", ".265", ".av1"}
)
"""How names of video files end: of all kinds that `VideoFile` opens."""


def is_hidden(name: str) -> bool:
    """Tell whether a name says to pass over it; macOS leaves such a companion, `._a.png`, beside every file."""
    return name.startswith(".")


def is_kind(name: str, suffixes: frozenset[str]) -> bool:
    """Tell whether a file that is not hidden ends in one of these suffixes, in capitals or not."""
    return not is_hidden(name) and Path(name).suffix.lower() in suffixes


def natural(name: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts 9 before 10, and ignores case unless nothing else differs."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def natural_path(path: Path) -> list[tuple[list[str | int], str]]:
    """Return the sort key of a path: part by part, as `natural`."""
    return [natural(part) for part in path.parts]


def in_order(files: Iterable[Path]) -> list[Path]:
    """Sort files of one folder by their stems, so that masks come in the order of their frames, however they end."""
    return sorted(files, key=lambda file: (natural(file.stem), file.suffix))


def list_pictures(folder: Path) -> list[Path]:
    """List the pictures of a folder in natural order; hidden ones, links to nothing, folders and pipes are left out.

    Raises:
        DataError: The folder may not be read.
    """
    try:
        return in_order(file for file in folder.iterdir() if is_kind(file.name, PICTURES) and file.is_file())
    except PermissionError as error:
        raise DataError(f"{named(folder)} may not be read: permission denied; change its permissions") from error
