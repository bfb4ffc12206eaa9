"""Which frames to track, in which direction, and from where."""

from dataclasses import dataclass

from selfvos.errors import UsageError
from selfvos.projects.project import Project


@dataclass(frozen=True)
class Run:
    """Frames to be tracked, one after the other."""

    start: int
    """Where the walk begins: a frame whose mask is known."""
    end: int
    """The last frame; before `start`, the walk goes backward."""

    @property
    def step(self) -> int:
        """1 forward, -1 backward."""
        return 1 if self.end >= self.start else -1

    def __len__(self) -> int:
        return abs(self.end - self.start) + 1


def plan(project: Project, start: int, end: int) -> Run:
    """Say where tracking of a span has to begin.

    That is at `start`, if it was drawn on or its mask is up to date, and else at the nearest drawing behind it.

    Args:
        project: What was drawn, and tracked so far.
        start: First frame of the span.
        end: Last frame; before `start`, to track backward.

    Raises:
        UsageError: A frame that the video does not have, or no drawing at or behind the first.
    """
    for frame in (start, end):
        if not 0 <= frame < project.count:
            raise UsageError(f"no frame {frame}; the video has frames 0 to {project.count - 1}")
    if start in project.keyframes or (start in project.store.frames and start not in project.stale):
        return Run(start, end)
    behind = [frame for frame in project.keyframes if (frame <= start if end >= start else frame >= start)]
    if not behind:
        side = "before" if end >= start else "after"
        raise UsageError(f"nothing was drawn on frame {start} or {side} it; draw a mask there first")
    return Run(max(behind) if end >= start else min(behind), end)


def fill(project: Project, first: int, last: int) -> list[Run]:
    """Return the runs that fill the frames between two drawings: one from each, to meet in the middle.

    Raises:
        UsageError: One of both frames was not drawn on.
    """
    for frame in (first, last):
        if frame not in project.keyframes:
            raise UsageError(f"nothing was drawn on frame {frame}; filling goes from one drawing to another")
    middle = (first + last) // 2
    return [Run(first, middle), Run(last, middle + 1)]
