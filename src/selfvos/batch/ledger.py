"""What happened in a batch, one JSON object a line: for people, for log collectors, and for the next start."""

import json
import os
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from selfvos.batch.job import COVERED, Job, Outcome

LOG = "log.jsonl"


class Ledger:
    """Appends to ``log.jsonl`` and knows how often each video was tried before.

    Events: ``begin`` and ``end`` of the batch; for each attempt ``started``, then ``ended`` with its outcome;
    ``quarantined``. An attempt that was started and never ended is one that the batch itself did not survive.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG
        self.tried = _tried(self._path)
        """Attempts so far by key, of videos that are neither finished nor given up."""

    def __enter__(self) -> "Ledger":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        torn = _torn(self._path)
        self._file: TextIO = self._path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def started(self, job: Job) -> None:
        """Note the begin of an attempt."""
        self.note("started", key=job.row.key, name=job.row.name, attempt=job.attempt)

    def ended(self, outcome: Outcome) -> None:
        """Note what became of an attempt."""
        facts = {name: value for name, value in asdict(outcome).items() if value and name != "trace"}
        self.note("ended", **facts)

    def note(self, event: str, **facts: Any) -> None:
        """Note anything."""
        line = {"time": round(time.time(), 3), "event": event, **facts}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def events(folder: Path) -> list[dict[str, Any]]:
    """Return all events of a batch; lines that a kill tore are left out."""
    return list(_events(folder / LOG))


def _events(path: Path) -> Any:
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def _torn(path: Path) -> bool:
    """Tell whether a kill cut the last line short."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _tried(path: Path) -> Counter[str]:
    tried: Counter[str] = Counter()
    for event in _events(path):
        key, kind = event.get("key", ""), event.get("event")
        if kind == "started":
            tried[key] += 1
        elif kind == "quarantined" or (kind == "ended" and event.get("state") in COVERED):
            del tried[key]
        elif kind == "ended" and event.get("state") in {"stopped", "full"}:  # no fault of the video
            tried[key] -= 1
    return tried
