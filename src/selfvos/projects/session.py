"""Tracking inside a project: from any drawing, in either direction, and again after a correction."""

from collections.abc import Callable, Iterator

import numpy as np

from selfvos.data.ahead import ahead
from selfvos.errors import UsageError
from selfvos.projects.planning import Run
from selfvos.projects.project import Project
from selfvos.tracking.tracker import Tracker
from selfvos.types import Frame, Tracked, Watch, go_on, ignore


def track_run(project: Project, make: Callable[[], Tracker], run: Run, *, watch: Watch = ignore) -> Iterator[Tracked]:
    """Track a run, keep every frame in the project as soon as it is there, and yield it.

    All drawings of the project are remembered, those ahead as well. The cost is that of the frames of the run, however
    many there are before it. A frame that was drawn on keeps its drawing, and what follows learns from it; so it does
    where that is drawn while the run is on its way there. What is drawn behind the run, or drawn anew, leaves all that
    it would have changed stale.

    Args:
        project: Where masks come from and go to.
        make: Makes a new tracker.
        run: Which frames.
        watch: Told and asked between frames.

    Raises:
        UsageError: The first frame was neither drawn on nor tracked.
        Stopped: The watch asked for it; the frames so far are kept.
    """
    if run.start not in project.state.keyframes and run.start not in project.store.frames:
        raise UsageError(f"frame {run.start} has no mask any more to track from; draw one there")
    drawings = {frame: project.keyframe(frame) for frame in project.keyframes}
    taken = _Taken(project, run)
    stop = run.end + run.step
    frames = ahead(project.source.frames(run.start, None if stop < 0 else stop, run.step))
    tracker = make()
    for done, frame in enumerate(tracker.ahead(frames)):
        go_on(watch)
        given = drawings.get(frame.index) if done == 0 else taken.drawing(frame.index)
        if done == 0:
            mask = project.mask_at(frame.index) if given is None else given
            found = _begin(project, tracker, frame, mask, drawings)
        else:
            found = tracker.step(frame.rgb)
            if given is not None:
                found = tracker.correct(given)
        tracked = Tracked(frame, found, tracker.objects)
        if done or given is not None:  # else it is there, and stays marked as made from where it was made from
            project.store.keep(tracked, revision=taken.revision, step=run.step)
        watch.tell("tracking", done + 1, len(run))
        yield tracked


class _Taken:
    """What a run has taken in of what people drew, before it and on the way."""

    def __init__(self, project: Project, run: Run) -> None:
        self._project, self._step = project, run.step
        self._remembered = project.keyframes
        self._seen = project.state.revision
        self._missed: int | None = None

    @property
    def revision(self) -> int:
        """Up to which line of the log everything was taken in."""
        return self._seen if self._missed is None else self._missed - 1

    def drawing(self, index: int) -> np.ndarray | None:
        """Return what is drawn, by now, on the frame that is to be tracked."""
        state = self._project.refresh()
        for frame, revision in state.revisions.items():
            # Memory has the old drawing of a frame that is drawn anew, and nothing of one that was passed already.
            if revision > self._seen and ((index - frame) * self._step > 0 or frame in self._remembered):
                self._missed = min(revision, self._missed or revision)
        self._seen = state.revision
        return self._project.keyframe(index) if index in state.keyframes else None


def _knows_all(project: Project, frame: int) -> bool:
    """Say whether all objects had a name when a frame was drawn on last."""
    state = project.state
    return all(state.named[id] <= state.revisions[frame] for id in state.objects)


def _begin(
    project: Project, tracker: Tracker, frame: Frame, mask: np.ndarray, drawings: dict[int, np.ndarray]
) -> np.ndarray:
    found = tracker.start(frame.rgb, mask)
    for index, drawn in drawings.items():
        if index != frame.index and drawn.any():
            other = next(iter(project.source.frames(index, index + 1)))
            tracker.remember(other.rgb, drawn, complete=_knows_all(project, index))
    return found
