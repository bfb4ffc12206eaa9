"""How long work tells of its progress, and how it is asked to stop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from selfvos.errors import Stopped


@runtime_checkable
class Watch(Protocol):
    """How long work tells of its progress, and how it is asked to stop."""

    def tell(self, stage: str, done: int, total: int | None, **facts: float) -> None:
        """Hear of progress.

        Args:
            stage: What is being done, in words for a person: a phase, or the name of a video.
            done: Frames, steps or whatever the stage counts, finished so far.
            total: All of them; None where nobody knows.
            facts: Numbers that a person may want to see beside it, such as a loss.
        """
        ...

    def stopped(self) -> bool:
        """Say whether the work shall end at the next point where nothing is lost."""
        ...


@dataclass(frozen=True)
class Watching:
    """A watch made of two functions, either of which may be left out."""

    told: Callable[..., None] | None = None
    """Called as `Watch.tell`."""
    asked: Callable[[], bool] | None = None
    """Called as `Watch.stopped`."""

    def tell(self, stage: str, done: int, total: int | None, **facts: float) -> None:
        """See `Watch.tell`."""
        if self.told is not None:
            self.told(stage, done, total, **facts)

    def stopped(self) -> bool:
        """See `Watch.stopped`."""
        return self.asked is not None and self.asked()


ignore = Watching()
"""The watch of work that nobody looks at and nobody stops."""


def go_on(watch: Watch) -> None:
    """Return where the work may go on.

    Raises:
        Stopped: The watch asks to stop.
    """
    if watch.stopped():
        raise Stopped("stopped; what was finished before is kept")


def renamed(watch: Watch, stage: str) -> Watch:
    """Return a watch that hears of every stage under one name."""
    return Watching(lambda _, done, total, **facts: watch.tell(stage, done, total, **facts), watch.stopped)
