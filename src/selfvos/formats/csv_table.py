"""Measures of every object in every frame as CSV."""

import csv
from dataclasses import asdict, fields
from pathlib import Path
from typing import ClassVar

from selfvos.formats.base import FORMATS, Format, Job, Part
from selfvos.formats.measures import Row, rows
from selfvos.types import TrackReader


@FORMATS.register("csv")
class CsvTable(Format):
    """CSV: area, centroid, box, speed and confidence, a row for each object and frame."""

    name: ClassVar = "csv"
    holds: ClassVar[frozenset[Part]] = frozenset({"boxes", "measures", "names", "confidence", "times", "indices"})
    readers: ClassVar = "Excel, R, pandas, MATLAB"
    suffix: ClassVar = ".csv"
    reads: ClassVar = False

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        with out.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
            table.writeheader()
            table.writerows(asdict(row) | {"lost": int(row.lost)} for row in rows(track, job))
