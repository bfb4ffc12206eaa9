"""What is done to projects that needs the network: tracking, and outlines that snap to edges."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from selfvos.api.affinity import PixelMatches, find_matches
from selfvos.api.given_masks import Masks
from selfvos.api.tracking import track_config
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.projects.outline import smart_outline
from selfvos.projects.planning import Run
from selfvos.projects.project import Project
from selfvos.projects.session import track_run
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker
from selfvos.types import Watch, ignore

_BACK = 8
"""Frames that are tracked again to know what a pixel is matched with."""


def outline_in_project(folder: str | Path, frame: int, region: UInt8[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Return a region drawn on a frame of a project with its outline on the edges of the frame.

    Args:
        folder: The project.
        frame: Index of the frame.
        region: 1 inside, about.
    """
    project = Project.look(folder)
    project.check_frame(frame)
    seen = next(iter(project.source.frames(frame, frame + 1)))
    return smart_outline(seen.rgb, region > 0)


def track_project(
    model: Segmenter,
    folder: str | Path,
    runs: Sequence[tuple[int, int]],
    quality: str = "balanced",
    *,
    watch: Watch = ignore,
) -> Iterator[int]:
    """Track runs of a project, as `plan_tracking` and `plan_filling` give them, and yield each frame when it is kept.

    Args:
        model: A loaded network.
        folder: The project; the process that has it open may go on drawing meanwhile.
        runs: First and last frame of each.
        quality: ``fast``, ``balanced`` or ``best``; weights that know no quality have one way to track.
        watch: Told and asked between frames.

    Raises:
        UsageError: No such quality, or no mask where a run starts.
        Stopped: The watch asked for it.
    """
    config = _named_late(track_config(model, None, quality if model.notes.quality else None))
    project = Project.look(folder)
    for start, end in runs:
        for tracked in track_run(project, lambda: Tracker(model, config), Run(start, end), watch=watch):
            yield tracked.frame.index


def matches_in_project(
    model: Segmenter,
    folder: str | Path,
    place: tuple[int, int, int],
    quality: str = "balanced",
    *,
    watch: Watch = ignore,
) -> PixelMatches:
    """Return what the label of a pixel of a project is taken from, when it is tracked from a few frames before.

    Frames are tracked once more for it, eight at most where their masks are known; the project stays as it is.

    Args:
        model: A loaded network.
        folder: The project.
        place: Frame, column and row of the pixel.
        quality: As `track_project`.
        watch: Told and asked between frames.

    Raises:
        UsageError: No such frame or pixel, or no mask known before it, in the direction that it was tracked in.
        Stopped: The watch asked for it.
    """
    config = _named_late(track_config(model, None, quality if model.notes.quality else None))
    project = Project.look(folder)
    frame = place[0]
    project.check_frame(frame)
    known = project.store.frames.get(frame)
    step = -1 if known is not None and known.step < 0 else 1
    begin = min(max(frame - step * _BACK, 0), project.count - 1)
    if begin == frame or (begin not in project.state.keyframes and begin not in project.store.frames):
        drawn = [one for one in project.keyframes if (frame - one) * step > 0]
        if not drawn:
            raise UsageError(f"no mask is known before frame {frame}; go to a frame that was tracked")
        begin = max(drawn) if step > 0 else min(drawn)
    masks: Masks = {begin: project.mask_at(begin)}
    return find_matches(model, project.source, masks, place, config=config, watch=watch)


def _named_late(config: TrackConfig) -> TrackConfig:
    """Return settings in which the first frame of a run counts for as many as are remembered later.

    Runs of a project begin anywhere and often. A run that has one frame behind it finds the best matches of a cell in
    that one alone: the right cell and its neighbours. An object of a few cells is outvoted by them and lost at once.
    """
    return replace(config, memory=replace(config.memory, pad_start="fill"))
