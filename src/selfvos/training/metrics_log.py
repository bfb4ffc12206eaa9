"""A run's numbers as JSON lines, one for each step, always."""

import json
import os
from pathlib import Path
from typing import Any

from selfvos.storage import write_text


class MetricsLog:
    """Appends to ``metrics.jsonl``; a resumed run first drops what lies beyond its checkpoint."""

    def __init__(self, path: Path, *, keep_until: int) -> None:
        """Open the journal.

        Args:
            path: The file; made if absent.
            keep_until: Lines of later steps are removed, and so is a line that a crash cut short.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            kept = [line for line in path.read_text().splitlines() if _step(line) <= keep_until]
            write_text(path, "".join(f"{line}\n" for line in kept))
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - lives as long as the run

    def write(self, /, **facts: Any) -> None:
        """Append one line."""
        self._file.write(json.dumps(facts) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Bring everything to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")
