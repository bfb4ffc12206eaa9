"""Text files of formats: JSON and XML read with care, and JSON written piece by piece."""

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO
from xml.etree import ElementTree

from selfvos.errors import DataError

_HEAD_BYTES = 65536


def parse_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: It is none.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no whole JSON file ({error}); export it again") from error


def write_json(file: TextIO, item: Any) -> None:
    """Write one value as JSON, without spaces."""
    file.write(json.dumps(item, separators=(",", ":")))


def write_list(file: TextIO, items: Iterable[Any]) -> None:
    """Write a JSON list, one line and one item at a time: the whole is never in memory."""
    separator = "[\n"
    for item in items:
        file.write(separator)
        write_json(file, item)
        separator = ",\n"
    file.write("[]" if separator == "[\n" else "\n]")


def head(path: Path) -> bytes:
    """Return the beginning of a file; nothing of what is none."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def each_element(path: Path, tags: Collection[str]) -> Iterator[ElementTree.Element]:
    """Yield the elements of an XML file that are called so, each whole, and forget each one when the next is asked for.

    Raises:
        DataError: It is no XML, or declares entities: a short file could unfold into more than memory holds.
    """
    if b"<!ENTITY" in head(path) or b"<!DOCTYPE" in head(path):
        raise DataError(f"{path} declares entities, which are not read; export it again")
    try:
        for _, element in ElementTree.iterparse(path):
            if element.tag in tags:
                yield element
                element.clear()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{path} is no whole XML file ({error}); export it again") from error
