"""What a person at a terminal sees: text, errors, progress."""

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

out = Console()
err = Console(stderr=True)


def print_report(report: Any, as_json: bool) -> None:
    """Print a report, or whatever else has a table and plain values."""
    print(json.dumps(report.to_dict(), indent=1) if as_json else report.table())


def print_place(page: Path, as_json: bool) -> None:
    """Say where a page lies, if it was written."""
    if page.is_file() and not as_json:
        out.print(f"\npage: {page}", highlight=False, markup=False, soft_wrap=True)


class Watcher:
    """A progress bar with time left on a terminal; nothing in a pipe."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal or os.environ.get("RANK", "0") != "0",
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "Watcher":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, stage: str, done: int, total: int | None, loss: float | None = None) -> None:
        """Move the bar of a stage; a stage that begins anew gets a new bar."""
        key = stage if loss is not None or stage in {"decoding videos", "pseudo masks", "clustering"} else "main"
        text = stage if loss is None else f"{stage}  loss {loss:.3f}"
        if key not in self._tasks or done < self._bar.tasks[self._tasks[key]].completed:
            self._tasks[key] = self._bar.add_task(text, total=total)
        self._bar.update(self._tasks[key], completed=done, total=total, description=text)
