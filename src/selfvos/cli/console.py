"""What a person at a terminal sees: text, errors, progress."""

import io
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from selfvos.errors import Stopped
from selfvos.stopping import StopFlag, stop_on_signals

is_main = os.environ.get("RANK", "0") == "0"
"""Of the processes that torchrun starts, one talks."""

out = Console()
err = Console(stderr=True)


def print_report(report: Any, *, as_json: bool) -> None:
    """Print a report, or whatever else has a table and plain values."""
    print(json.dumps(report.to_dict(), indent=1) if as_json else report.table())


def print_place(page: Path, *, as_json: bool) -> None:
    """Say where a page lies, if it was written."""
    if page.is_file() and not as_json:
        out.print(f"\npage: {page}", highlight=False, markup=False, soft_wrap=True)


def print_what_the_console_can() -> None:
    """Have characters that standard output cannot show written as escapes: the work behind a line is done already."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Watcher:
    """The watch of whoever started the command: a progress bar on a terminal, Ctrl-C and SIGTERM to stop.

    In a pipe there is no bar. While the `with` block runs, the first signal asks the work to stop and the second ends
    it at once. A `Stopped` that leaves the block bears the exit status of the signal.
    """

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
            disable=not (err.is_terminal and is_main),
        )
        self._tasks: dict[str, Any] = {}
        self._stack = ExitStack()
        self._flag = StopFlag()

    def __enter__(self) -> "Watcher":
        self._flag = self._stack.enter_context(stop_on_signals())
        self._stack.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if isinstance(error, Stopped) and self._flag.signal_number:
            error.exit_status = 128 + self._flag.signal_number

    def tell(self, stage: str, done: int, total: int | None, **facts: float) -> None:
        """Move the bar of a stage; one that begins anew gets a new bar, but for the frames that are looked ahead to."""
        beside = {"decoding videos", "pseudo masks", "clustering", "looking ahead"}
        key = stage if "loss" in facts or stage in beside else "main"
        text = f"{stage}  loss {facts['loss']:.3f}" if "loss" in facts else stage
        again = key != "looking ahead" and key in self._tasks and done < self._bar.tasks[self._tasks[key]].completed
        if again or key not in self._tasks:
            self._tasks[key] = self._bar.add_task(text, total=total)
        self._bar.update(self._tasks[key], completed=done, total=total, description=text)

    def stopped(self) -> bool:
        """Say whether a signal asked for a stop."""
        return self._flag.stopped()
