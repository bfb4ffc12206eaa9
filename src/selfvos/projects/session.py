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
    many there are before it. A frame that was drawn on keeps its drawing, and what follows learns from it.

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
    revision, drawings = project.state.revision, {frame: project.keyframe(frame) for frame in project.keyframes}
    stop = run.end + run.step
    frames = ahead(project.source.frames(run.start, None if stop < 0 else stop, run.step))
    tracker = make()
    for done, frame in enumerate(frames):
        go_on(watch)
        given = drawings.get(frame.index)
        if done == 0:
            mask = project.mask_at(frame.index) if given is None else given
            found = _begin(project, tracker, frame, mask, drawings)
        else:
            found = tracker.step(frame.rgb)
            if given is not None:
                found = tracker.correct(given)
        tracked = Tracked(frame, found, tracker.objects)
        if done or given is not None:  # else it is there, and stays marked as made from where it was made from
            project.store.keep(tracked, revision=revision, step=run.step)
        watch.tell("tracking", done + 1, len(run))
        yield tracked


def _begin(
    project: Project, tracker: Tracker, frame: Frame, mask: np.ndarray, drawings: dict[int, np.ndarray]
) -> np.ndarray:
    found = tracker.start(frame.rgb, mask)
    for index, drawn in drawings.items():
        if index != frame.index and drawn.any():
            other = next(iter(project.source.frames(index, index + 1)))
            tracker.remember(other.rgb, drawn)
    return found
