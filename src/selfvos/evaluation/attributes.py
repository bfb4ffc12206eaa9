"""What makes a video hard, as its data set says, and how scores depend on it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from selfvos.errors import DataError

NAMES = {
    "AC": "appearance change",
    "BC": "background clutter",
    "CS": "camera shake",
    "DB": "dynamic background",
    "DEF": "deformation",
    "EA": "edge ambiguity",
    "FM": "fast motion",
    "HO": "heterogeneous object",
    "IO": "interacting objects",
    "LR": "low resolution",
    "MB": "motion blur",
    "OCC": "occlusion",
    "OV": "out of view",
    "ROT": "rotation",
    "SC": "shape complexity",
    "SV": "scale variation",
}
"""What DAVIS' abbreviations stand for."""

_PLACES = tuple(f"{folder}db_info.{suffix}" for folder in ("", "Annotations/", "data/") for suffix in ("yml", "yaml"))


def label(attribute: str) -> str:
    """Return an attribute as tables name it: the abbreviation and, where known, what it stands for."""
    return f"{attribute} {NAMES[attribute]}" if attribute in NAMES else attribute


def read_attributes(root: Path | str) -> dict[str, tuple[str, ...]]:
    """Read which attributes each video of a data set has.

    Args:
        root: Folder of the data set; looked for are ``db_info.yml`` and ``db_info.yaml`` there, in ``Annotations``
            and in ``data``.

    Returns:
        Attributes by name of the video; empty where there is no such file.

    Raises:
        DataError: The file is no list of sequences.

    Source:
        DAVIS: a list ``sequences`` whose entries have ``name`` and ``attributes``, beside fields not read here.
    """
    for place in _PLACES:
        path = Path(root) / place
        if path.is_file():
            return _listed(path)
    return {}


def by_attribute(
    rows: Mapping[str, Mapping[str, float]],
    videos: Mapping[str, str],
    attributes: Mapping[str, Sequence[str]],
    columns: Sequence[str],
) -> dict[str, dict[str, int | float]]:
    """Average scores over the objects whose video has an attribute, and over the others.

    Args:
        rows: Scores of each object, by column.
        videos: Name of each object's video.
        attributes: Attributes of each video; one that is not named has none.
        columns: Which scores to average.

    Returns:
        By attribute, in alphabetical order and only where an object has it: the number of its objects, and for each
        column the mean over them and, as ``<column> of others``, over the rest (NaN where there is no rest).

    Source:
        Perazzi et al. 2016, attribute-based evaluation: the mean over the sequences that have the attribute.
    """
    found: dict[str, dict[str, int | float]] = {}
    for attribute in sorted({one for video in videos.values() for one in attributes.get(video, ())}):
        inside = [name for name in rows if attribute in attributes.get(videos[name], ())]
        outside = [name for name in rows if name not in inside]
        found[attribute] = {"objects": len(inside)}
        for column in columns:
            found[attribute][column] = _mean([rows[name][column] for name in inside])
            found[attribute][f"{column} of others"] = _mean([rows[name][column] for name in outside])
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _listed(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {str(one["name"]): tuple(map(str, one.get("attributes") or ())) for one in data["sequences"]}
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} is no list of sequences with a name and attributes each ({type(error).__name__}); "
            "download it again, or remove it to do without attributes"
        ) from error
