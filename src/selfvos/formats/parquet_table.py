"""Measures of every object in every frame as Parquet."""

from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from selfvos.formats.base import FORMATS, Format, Job, Part
from selfvos.formats.measures import Row, rows
from selfvos.types import TrackReader

_ROWS_AT_ONCE = 65536


@FORMATS.register("parquet")
class ParquetTable(Format):
    """Parquet: area, centroid, box, speed and confidence, a row for each object and frame."""

    name: ClassVar = "parquet"
    holds: ClassVar[frozenset[Part]] = frozenset({"boxes", "measures", "names", "confidence", "times", "indices"})
    readers: ClassVar = "pandas, polars, DuckDB, Spark, R"
    suffix: ClassVar = ".parquet"
    extra: ClassVar = "table"
    module: ClassVar = "pyarrow"
    reads: ClassVar = False

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        import pyarrow
        from pyarrow import parquet

        schema = pyarrow.schema([(field.name, _kind(field.type, pyarrow)) for field in fields(Row)])
        found = rows(track, job)
        with parquet.ParquetWriter(out, schema) as file:
            while group := list(islice(found, _ROWS_AT_ONCE)):
                file.write_table(pyarrow.Table.from_pylist([asdict(row) for row in group], schema))


def _kind(of: Any, pyarrow: Any) -> Any:
    kinds = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string(), bool: pyarrow.bool_()}
    return next(kind for python, kind in kinds.items() if of in (python, python | None))
