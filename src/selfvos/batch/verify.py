"""Results held against the manifest: what is missing, half there, there twice, or not what was written."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfvos.batch.manifest import Defaults, Row, read_manifest, write_manifest
from selfvos.batch.quarantine import reasons
from selfvos.batch.sink import Sink, Stored, open_sink
from selfvos.batch.store import open_store
from selfvos.errors import UsageError
from selfvos.types import Watch, go_on, ignore

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found; names, in the order of the manifest."""

    total: int
    """Videos of the manifest."""
    whole: int
    """Of them there once, made from this row, and as they were written."""
    missing: tuple[str, ...]
    """Neither there nor given up."""
    partial: tuple[str, ...]
    """Files or folders that look like results and are not whole."""
    twice: tuple[str, ...]
    damaged: tuple[tuple[str, str], ...]
    """With what is wrong."""
    quarantined: tuple[tuple[str, str], ...]
    """Given up, with the reason; no fault of the results."""
    unknown: int
    """Results that no row of the manifest asks for; no fault."""

    @property
    def faulty(self) -> bool:
        """Whether anything has to be done."""
        return bool(self.missing or self.partial or self.twice or self.damaged)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**asdict(self), "complete": not self.faulty}

    def table(self) -> str:
        """Return a line for each kind of finding; the last one sums up."""
        kinds: tuple[tuple[str, Iterable[str]], ...] = (
            ("missing", self.missing),
            ("partial", self.partial),
            ("twice", self.twice),
            ("damaged", [f"{name} ({why})" for name, why in self.damaged]),
            ("quarantined", [f"{name} ({why})" for name, why in self.quarantined]),
        )
        lines = [f"{kind}: {_some(list(names))}" for kind, names in kinds if names]
        if self.unknown:
            lines.append(f"note: {self.unknown} results are of no video of this manifest")
        state = "incomplete" if self.faulty else "complete"
        left = f", {len(self.quarantined)} quarantined" if self.quarantined else ""
        return "\n".join([*lines, f"{state}: {self.whole} of {self.total} videos whole{left}"])


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What is done about findings."""

    rerun: Path | None = None
    """Write a manifest of all that is not whole."""
    discard: bool = False
    """Take results that are damaged, half there or there twice away, so that the same batch makes them anew."""


def verify(
    out: str,
    manifest: Path,
    *,
    defaults: Defaults | None = None,
    repair: Repair | None = None,
    watch: Watch = ignore,
) -> Verdict:
    """Hold all results of a batch against its manifest, reading every byte of them.

    Args:
        out: Path or URL of the results.
        manifest: The rows.
        defaults: As they were given to the batch: the key of a row follows from them too.
        repair: What to do about findings; nothing, by default.
        watch: Told of results; asked before each.

    Raises:
        UsageError: There are no results of a batch.
        DataError: The manifest cannot be used.
        Stopped: The watch asked; nothing was changed.
    """
    store = open_store(out)
    names = {folder: store.names(folder) for folder in ("tracks", "parts", "masks", "quarantine")}
    if not any(names.values()):
        raise UsageError(f"no results of a batch in {out}; give what 'selfvos batch' was told as --out")
    sinks = [open_sink(store, "folders")] if names["tracks"] else []
    sinks += [open_sink(store, "parquet")] if names["parts"] or names["masks"] else []
    left_alone = {key: about["reason"] for key, about in reasons(store).items()}
    check = _Check(sinks, {row.key: row for row in read_manifest(manifest, defaults)}, left_alone)
    check.look(watch)
    if repair is not None and repair.discard:
        check.discard()
    if repair is not None and repair.rerun is not None:
        write_manifest(repair.rerun, check.faulty_rows())
    return check.verdict()


class _Check:
    def __init__(self, sinks: list[Sink], rows: dict[str, Row], left_alone: dict[str, str]) -> None:
        self._sinks, self._rows, self._left_alone = sinks, rows, left_alone
        self._found: dict[str, list[tuple[Sink, Stored]]] = defaultdict(list)
        self._wrong: dict[str, str] = {}
        """By key: what is wrong with the first of its results that has a fault."""
        self._faulty: list[tuple[Sink, Stored]] = []
        self._names = {row.name: row.key for row in rows.values()}
        self._partial = [(sink, name) for sink in sinks for name in sink.partial()]

    def look(self, watch: Watch) -> None:
        by_sink = [(sink, list(sink.finished())) for sink in self._sinks]
        looked = [(sink, one, faults) for sink, stored in by_sink for faults in [sink.faults(stored)] for one in stored]
        for done, (sink, one, faults) in enumerate(looked, start=1):
            go_on(watch)
            key = one.result.key
            fault = next(faults)
            if self._names.get(one.result.name, key) != key:
                fault = "made from another row of this name"
            if fault:
                self._faulty.append((sink, one))
                self._wrong[self._names.get(one.result.name, key)] = fault
            self._found[key].append((sink, one))
            watch.tell("verifying", done, len(looked))

    def discard(self) -> None:
        """Take away what is wrong; of what is there twice, all but the first that is whole."""
        for sink, one in self._faulty:
            sink.discard(one)
        faulty = {(one.place, one.part) for _, one in self._faulty}
        for copies in self._found.values():
            whole = [(sink, one) for sink, one in copies if (one.place, one.part) not in faulty]
            for sink, one in whole[1:]:
                sink.discard(one)
        for sink, name in self._partial:
            sink.discard_partial(name)

    def faulty_rows(self) -> list[Row]:
        partial = {name for _, name in self._partial}
        return [
            row
            for key, row in self._rows.items()
            if key in self._wrong or (key not in self._found and key not in self._left_alone) or row.name in partial
        ]

    def verdict(self) -> Verdict:
        rows = self._rows
        found = self._found
        twice = [rows[key].name for key in rows if len(found.get(key, ())) > 1]
        damaged = [(rows[key].name, why) for key, why in self._wrong.items() if key in rows]
        gone = [key for key in rows if key not in found and key not in self._wrong]
        partial = [name for _, name in self._partial]
        missing = [rows[key].name for key in gone if key not in self._left_alone and rows[key].name not in partial]
        whole = [key for key in rows if len(found.get(key, ())) == 1 and key not in self._wrong]
        return Verdict(
            total=len(rows),
            whole=len(whole),
            missing=tuple(missing),
            partial=tuple(partial),
            twice=tuple(twice),
            damaged=tuple(damaged),
            quarantined=tuple((rows[key].name, self._left_alone[key]) for key in gone if key in self._left_alone),
            unknown=sum(key not in rows for key in found),
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
