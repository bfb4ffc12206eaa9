"""Points followed through videos: what a benchmark knows of them, and results as one table per video."""

import csv
import io
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.errors import DataError
from selfvos.storage import write_text

COLUMNS = ("frame", "joint", "x", "y")
"""Header of a table: name of the frame, id of the point, its place in pixels; no place where it is missing."""
Points = Float64[np.ndarray, "j 2"]
"""Place (x, y) of each point in pixels, 0-based; NaN where it is missing."""


class PointVideo(LabelledVideo):
    """A video whose points are given in the first frame and known, to the scorer, in the others."""

    @abstractmethod
    def points(self, frame: str) -> Points:
        """Return the true places in the frame called so, in the order of `objects`."""

    def truth(self, frame: str) -> UInt8[np.ndarray, "y x"]:
        """Refuse: points have no masks.

        Raises:
            DataError: Always.
        """
        raise DataError(f"{self.name} has points in frame {frame}, no mask: use its points")


def point_videos(benchmark: Benchmark) -> tuple[PointVideo, ...]:
    """Return the videos of a benchmark that follows points."""
    return tuple(video for video in benchmark.videos if isinstance(video, PointVideo))


def write_points(path: Path | str, points: Mapping[str, Points], ids: Sequence[int]) -> None:
    """Write the points of a video as a table with a row for each point in each frame.

    Args:
        path: The CSV file to write.
        points: Places, by name of the frame.
        ids: Id of each point.

    Raises:
        UsageError: The folder cannot be written to.
        OutOfSpace: The disk is full.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for frame, places in points.items():
        for id, (x, y) in zip(ids, places.tolist(), strict=True):
            table.writerow([frame, id, *("" if math.isnan(value) else f"{value:.6g}" for value in (x, y))])
    write_text(path, text.getvalue())


def read_points(path: Path | str, frames: Sequence[str], ids: Sequence[int]) -> Float64[np.ndarray, "t j 2"]:
    """Read the points of a video from a table that any method wrote.

    Args:
        path: A CSV file with the columns frame, joint, x and y; more columns and frames do no harm.
        frames: Names of the frames to read.
        ids: Id of each point.

    Returns:
        Places by frame and point; NaN where x and y are empty.

    Raises:
        DataError: The file or a row is missing, a row is there twice, or a place is no pair of numbers.
    """
    path = Path(path)
    places: dict[tuple[str, str], tuple[float, float]] = {}
    for line, row in enumerate(_rows(path), start=2):
        key = (row["frame"], row["joint"])
        if key in places:
            raise DataError(f"{path}, line {line}: frame {key[0]}, joint {key[1]} is there twice; keep one")
        places[key] = _place(row["x"], row["y"], f"{path}, line {line}")
    wanted = [(frame, str(id)) for frame in frames for id in ids]
    absent = [key for key in wanted if key not in places]
    if absent:
        raise DataError(
            f"{path}: no row for frame {absent[0][0]}, joint {absent[0][1]} ({len(absent)} of {len(wanted)} missing); "
            "write one for every point in every frame, with empty x and y where it is missing"
        )
    return np.array([places[key] for key in wanted], np.float64).reshape(len(frames), len(ids), 2)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(f"no result {path}: write one table per video, with the columns {', '.join(COLUMNS)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, restval="")
            lost = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if lost:
                raise DataError(f"{path} has no column {lost[0]}: its first line must name {', '.join(COLUMNS)}")
            return [{name: row[name].strip() for name in COLUMNS} for row in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no table ({error}): write it as CSV") from error


def _place(x: str, y: str, where: str) -> tuple[float, float]:
    if not x and not y:
        return math.nan, math.nan
    try:
        place = float(x), float(y)
    except ValueError as error:
        raise DataError(f"{where}: x {x!r} and y {y!r} are no numbers; leave both empty where it is missing") from error
    if not all(map(math.isfinite, place)):
        raise DataError(f"{where}: x {x} and y {y} must be finite; leave both empty where the point is missing")
    return place
