"""The list of what is to be tracked: one row a video, as JSON lines or as a Parquet table."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from selfvos.batch.extras import need
from selfvos.errors import DataError, UsageError
from selfvos.storage import atomic_path

_PARQUET = {".parquet", ".pq"}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_NAME = re.compile(r"[\w][\w.+\- ]{0,119}")
_NAMED = 3
_ROWS_AT_ONCE = 1024
_LONGEST_LINE = 2**20


@dataclass(frozen=True, kw_only=True)
class Row:
    """One video of a manifest."""

    name: str
    """What it is called in the output, and nothing else is."""
    video: str
    """A path, or a URL that fsspec opens."""
    mask: str = ""
    """Path or URL of the mask that tracking begins with; empty where it is to be discovered."""
    mask_frame: int = 0
    """The frame that the mask was drawn on, from 0."""
    fps: float = 25.0
    """Frames per second of a folder of pictures; a video file has its own."""
    sha256: str = ""
    """What the video file's bytes add up to; empty where nobody knows."""
    settings: tuple[str, ...] = field(default=())
    """Tracker settings of this video alone, such as ``match.top_k=5``."""

    @cached_property
    def key(self) -> str:
        """What the result is filed under: it follows from everything in the row, and is asked for ten times."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What rows that do not say so themselves get."""

    mask_dir: str = ""
    """Folder or URL of first masks, ``NAME.png`` for each video."""
    discover: bool = False
    """Rows without a mask get one from clustering."""


def is_url(place: str) -> bool:
    """Tell a URL from a path."""
    return _URL.match(place) is not None


def read_manifest(path: Path | str, defaults: Defaults | None = None) -> Iterator[Row]:
    """Yield the rows of a manifest, one at a time.

    Args:
        path: ``.jsonl``, one JSON object a line, or ``.parquet``. Fields are those of `Row`; all but ``video`` may be
            left out. Paths are relative to the manifest's folder.
        defaults: What rows that do not say so themselves get.

    Raises:
        UsageError: There is no such file.
        DataError: A row cannot be used, or two have one name; the message says which and why.
        MissingExtra: A Parquet manifest needs pyarrow.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no manifest {path}; give a .jsonl or .parquet file with a row for each video")
    found = _parquet(path) if path.suffix.lower() in _PARQUET else _json_lines(path)
    # Eight bytes of a digest: that two of a million names meet has a chance of 3e-8.
    seen: set[bytes] = set()
    for where, data in found:
        try:
            row = _row(data, path.absolute().parent, defaults or Defaults())
        except UsageError as error:
            raise DataError(f"{path}, {where}: {error}") from error
        mark = hashlib.sha256(row.name.casefold().encode()).digest()[:8]
        if mark in seen:
            raise DataError(f"{path}, {where}: a second video called {row.name!r}; give them different names")
        seen.add(mark)
        yield row


def write_manifest(path: Path | str, rows: Iterable[Row]) -> int:
    """Write rows as JSON lines, atomically, and return how many there were."""
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            given = {field.name: getattr(row, field.name) for field in fields(Row)}
            file.write(json.dumps({name: value for name, value in given.items() if value}) + "\n")
            count += 1
    return count


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE + 1):
            number += 1
            where = f"line {number}"
            if len(line) > _LONGEST_LINE:
                raise DataError(f"{path}, {where}: longer than {_LONGEST_LINE} bytes; write one JSON object a line")
            if not line.strip():
                continue
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, {where} is not JSON ({error}); write one JSON object a line") from error


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    need("pyarrow", "scale", "a Parquet manifest")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                for data in batch.to_pylist():
                    number += 1
                    yield f"row {number}", {name: value for name, value in data.items() if value is not None}
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a Parquet file that can be read ({str(error)[:200]}); write it again"
        ) from error


def _row(data: Any, folder: Path, defaults: Defaults) -> Row:
    if not isinstance(data, Mapping):
        raise UsageError("a row is a JSON object with the field 'video'")
    _refuse_wrong(data)
    video = data["video"]
    name = data.get("name") or _name_of(video)
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"name {name[:140]!r} cannot be a file name everywhere; use 1 to 120 letters, digits, '.', '-', '_', '+' "
            "or blanks, the first a letter or digit"
        )
    mask = data.get("mask", "")
    if not mask and defaults.mask_dir:
        mask = f"{defaults.mask_dir.rstrip('/')}/{name}.png"
    elif mask:
        mask = _placed(mask, folder)
    elif not defaults.discover:
        raise UsageError("no mask; give the field 'mask', --mask-dir DIR, or have objects found with --discover")
    return Row(
        name=name,
        video=_placed(video, folder),
        mask=mask,
        mask_frame=data.get("mask_frame", 0),
        fps=float(data.get("fps", 25.0)),
        sha256=data.get("sha256", "").lower(),
        settings=_settings(data.get("settings", ())),
    )


_KINDS: dict[str, tuple[type, ...]] = {
    "video": (str,),
    "name": (str,),
    "mask": (str,),
    "sha256": (str,),
    "mask_frame": (int,),
    "fps": (int, float),
    "settings": (list, tuple, dict),
}


def _refuse_wrong(data: Mapping[Any, Any]) -> None:
    strange = [name for name in data if name not in _KINDS]
    if strange:
        raise UsageError(f"unknown field {str(strange[0])[:80]!r}; known are {', '.join(_KINDS)}")
    for name, value in data.items():
        if not isinstance(value, _KINDS[name]) or isinstance(value, bool):
            raise UsageError(f"{name} is {type(value).__name__} {str(value)[:80]!r}")
    for name in ("video", "name", "mask", "sha256"):
        if "\0" in data.get(name, "") or not data.get(name, "").isprintable():
            raise UsageError(f"{name} holds characters that no name can have")
    if not data.get("video"):
        raise UsageError("no video; give its path or URL in the field 'video'")
    if not 0 <= data.get("mask_frame", 0) < 2**31:
        raise UsageError(f"mask_frame counts from 0, got {data['mask_frame']}")
    if not 0.001 <= data.get("fps", 25.0) <= 1000:
        raise UsageError(f"fps is 0.001 to 1000, got {data['fps']}")
    if data.get("sha256") and not re.fullmatch(r"[0-9a-fA-F]{64}", data["sha256"]):
        raise UsageError("sha256 is 64 hexadecimal digits")


def _settings(given: Any) -> tuple[str, ...]:
    if isinstance(given, Mapping):
        given = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items()]
    if not all(isinstance(one, str) and "=" in one for one in given):
        raise UsageError(f'settings are texts like "match.top_k=5", got {str(given)[:80]}')
    return tuple(given)


def _placed(place: str, folder: Path) -> str:
    return place if is_url(place) else str(folder / place)


def _name_of(video: str) -> str:
    """Return what to call a video that has no name: the stem of its file, without what no name may hold."""
    last = re.split(r"[/\\]", video.rstrip("/\\"))[-1]
    stem = last.rpartition(".")[0] or last
    plain = re.sub(r"[^\w.+\- ]", "_", stem).lstrip(".-+ _")[:100]
    if plain == stem:
        return plain
    return f"{plain or 'video'}-{hashlib.sha256(video.encode(errors='replace')).hexdigest()[:8]}"
