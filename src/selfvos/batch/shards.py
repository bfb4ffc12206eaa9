"""Results as tables: one row for each object in each frame, its mask as run lengths; one row group for each video.

A worker writes ``parts/<key>.parquet``, a file with one video. The process that leads the batch gathers parts into
``masks/<digest>.parquet`` of many videos, and removes them when the shard is there. A kill in between leaves both: a
shard counts, and its parts are removed when the batch goes on.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, astuple, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from selfvos import __version__, api
from selfvos.batch.extras import need
from selfvos.batch.sink import Draft, Result, Stored, Task
from selfvos.batch.store import Store
from selfvos.errors import BrokenVideo, DataError

PARTS, MASKS = "parts", "masks"
_ABOUT = b"selfvos.videos"
_GATHERED = 256
"""Videos in a shard."""
_ROWS_AT_ONCE = 4096


class Shards:
    """Keeps ``parts/`` and ``masks/``."""

    def __init__(self, store: Store) -> None:
        """Take a store.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        need("pyarrow", "scale", "Parquet output")
        self._store = store

    def make(self, task: Task, scratch: Path) -> Draft:
        """See `Sink`; no overlay is drawn.

        Raises:
            BrokenVideo: The video breaks off.
        """
        path = scratch / "part.parquet"
        writer = _Writer(path)
        with writer:
            shot = task.shot
            for frame in api.track(
                task.model, shot.video, shot.masks, span=shot.span, config=task.config, watch=task.watch
            ):
                writer.add(api.mask_rows(frame))
            if shot.video.partial:  # pyright: ignore[reportAttributeAccessIssue]
                raise BrokenVideo(f"the video breaks off after {writer.frames} frames; copy or download it again")
            result = Result(
                **task.row,
                frames=writer.frames,
                objects=len(writer.objects),
                digest=writer.digest(),
                weights=api.weights_digest(task.model),
                version=__version__,
            )
            writer.about([result])
        return Draft(path, result)

    def keep(self, draft: Draft) -> bool:
        """See `Sink`."""
        return self._store.put(draft.path, f"{PARTS}/{draft.result.key}.parquet")

    def has(self, key: str, name: str) -> bool:  # noqa: ARG002 - files are named by key
        """See `Sink`; shards are looked through once, by the process that leads the batch."""
        return f"{key}.parquet" in self._store.names(PARTS)

    def finished(self) -> Iterator[Stored]:
        """See `Sink`."""
        for folder in (MASKS, PARTS):
            for name in self._store.names(folder):
                place = f"{folder}/{name}"
                for part, result in enumerate(self._results(place)):
                    yield Stored(result, place, part)

    def partial(self) -> list[str]:
        """See `Sink`: a file that cannot be opened is no result."""
        return [
            f"{folder}/{name}"
            for folder in (MASKS, PARTS)
            for name in self._store.names(folder)
            if not self._opens(f"{folder}/{name}")
        ]

    def faults(self, stored: Iterable[Stored]) -> Iterator[str]:
        """See `Sink`."""
        for place, together in groupby(stored, key=lambda one: one.place):
            with self._store.lend(place) as path:
                yield from _faults(path, together)

    def discard(self, stored: Stored) -> None:
        """See `Sink`; the other videos of a shard become parts again."""
        folder, _, name = stored.place.partition("/")
        if name not in self._store.names(folder):  # it went with another video of its shard, which was damaged too
            return
        if folder == MASKS:
            with self._store.lend(stored.place) as path, self._store.scratch("split") as scratch:
                all_of_it = [Stored(result, stored.place, part) for part, result in enumerate(_about(path))]
                for one, fault in zip(all_of_it, _faults(path, all_of_it), strict=True):
                    if one.part != stored.part and not fault:
                        self._split(path, one.part, one.result, scratch)
        self._store.remove(stored.place)

    def discard_partial(self, name: str) -> None:
        """See `Sink`."""
        self._store.remove(name)

    def gather(self, *, everything: bool) -> None:
        """See `Sink`: parts become a shard as soon as there are enough of them, or at the end."""
        names = self._store.names(PARTS)
        if len(names) < _GATHERED and not everything:
            return
        names = [name for name in names if self._opens(f"{PARTS}/{name}")]
        names = self._not_in_shards(names) if everything else names
        while len(names) >= _GATHERED or (everything and names):
            self._shard(names[:_GATHERED])
            names = names[_GATHERED:]

    def _shard(self, names: Sequence[str]) -> None:
        title = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        with self._store.scratch("shard") as scratch:
            shard = scratch / "shard.parquet"
            with ExitStack() as stack, _Writer(shard) as writer:
                results = []
                for name in names:
                    path = stack.enter_context(self._store.lend(f"{PARTS}/{name}"))
                    results += _about(path)
                    writer.copy(path)
                writer.about(results)
            self._store.put(shard, f"{MASKS}/{title}.parquet")
        for name in names:
            self._store.remove(f"{PARTS}/{name}")

    def _not_in_shards(self, names: Sequence[str]) -> list[str]:
        """Remove the parts that a shard holds already: whoever gathered them was killed before."""
        shards = [f"{MASKS}/{name}" for name in self._store.names(MASKS)]
        gathered = {f"{result.key}.parquet" for shard in shards for result in self._results(shard)}
        for name in gathered.intersection(names):
            self._store.remove(f"{PARTS}/{name}")
        return [name for name in names if name not in gathered]

    def _split(self, path: Path, part: int, result: Result, scratch: Path) -> None:
        alone = scratch / f"{result.key}.parquet"
        with _Writer(alone) as writer:
            writer.copy(path, part)
            writer.about([result])
        self._store.put(alone, f"{PARTS}/{result.key}.parquet")

    def _results(self, place: str) -> list[Result]:
        """Return what a file holds; nothing where it cannot be opened, which `partial` tells."""
        try:
            with self._store.lend(place) as path:
                return _about(path)
        except (DataError, OSError):
            return []

    def _opens(self, place: str) -> bool:
        return bool(self._results(place))


def read_shard(path: Path | str) -> Iterator[tuple[Result, list[api.MaskRow]]]:
    """Yield the videos of a shard with all of their rows: `api.mask_of_row` gives the pixels of one.

    Raises:
        DataError: It is no such file.
    """
    from pyarrow import parquet

    results = _about(Path(path))
    with parquet.ParquetFile(path) as file:
        for part, result in enumerate(results):
            yield result, _rows(file, part)


class _Writer:
    """Writes row groups: of one video as it is tracked, or of files that are there."""

    def __init__(self, path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        kinds = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string(), bool: pyarrow.bool_()}
        columns = [(field.name, kinds[field.type]) for field in fields(api.MaskRow)]  # pyright: ignore[reportArgumentType]
        self._schema = pyarrow.schema(columns)
        self._pyarrow = pyarrow
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._tables: list[Any] = []
        self._rows: list[api.MaskRow] = []
        self._total = hashlib.sha256()
        self.frames = 0
        self.objects: set[int] = set()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, rows: Sequence[Any]) -> None:
        """Take the rows of one frame."""
        self.frames += 1
        self._rows += rows
        self.objects.update(row.object for row in rows)
        self._total.update(b"".join(_line(row) for row in rows))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._pack()

    def digest(self) -> str:
        return self._total.hexdigest()

    def copy(self, path: Path, part: int | None = None) -> None:
        """Take the row groups of another file, or one of them."""
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups) if part is None else [part]:
                table = file.read_row_group(group).replace_schema_metadata(None)
                self._file.write_table(table, row_group_size=max(1, len(table)))

    def about(self, results: Sequence[Result]) -> None:
        """Write what was added, as one row group, and say what the file holds."""
        if self.frames:
            self._pack()
            table = self._pyarrow.concat_tables(self._tables)
            self._file.write_table(table, row_group_size=max(1, len(table)))
        self._file.add_key_value_metadata({_ABOUT: json.dumps([asdict(result) for result in results])})

    def _pack(self) -> None:
        """Make a table of rows so far: run lengths as objects of Python take several times the room."""
        self._tables.append(self._pyarrow.Table.from_pylist([asdict(row) for row in self._rows], self._schema))
        self._rows = []


def _about(path: Path) -> list[Result]:
    import pyarrow
    from pyarrow import parquet

    try:
        about = parquet.read_metadata(path).metadata or {}
        results = [Result.read(data, path.name) for data in json.loads(about[_ABOUT])]
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no file of masks, or it is damaged ({str(error)[:120]})") from error
    return results


def _faults(path: Path, stored: Iterable[Stored]) -> Iterator[str]:
    """Say of each result in a file what is wrong with it: opening a shard reads what it says of all its videos."""
    import pyarrow
    from pyarrow import parquet

    damaged = (pyarrow.ArrowException, OSError, ValueError, TypeError)
    try:
        opened = parquet.ParquetFile(path)
    except damaged as error:
        yield from (_unreadable(error) for _ in stored)
        return
    with opened as file:
        for one in stored:
            try:
                same = _digest(_rows(file, one.part)) == one.result.digest
            except damaged as error:
                yield _unreadable(error)
            else:
                yield "" if same else "its rows are not those that were written"


def _unreadable(error: Exception) -> str:
    return f"cannot be read: {str(error)[:120]}"


def _rows(file: Any, part: int) -> list[api.MaskRow]:
    return [api.MaskRow(**data) for data in file.read_row_group(part).to_pylist()]


def _digest(rows: Sequence[Any]) -> str:
    total = hashlib.sha256()
    for row in rows:
        total.update(_line(row))
    return total.hexdigest()


def _line(row: Any) -> bytes:
    return json.dumps(astuple(row)).encode() + b"\n"
