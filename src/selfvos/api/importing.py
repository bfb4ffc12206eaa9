"""Tracks of other programs as projects: to be corrected in the page, and tracked on from there."""

from pathlib import Path

import numpy as np

from selfvos.api.exporting import places_in, read_track
from selfvos.data.source import open_source
from selfvos.errors import DataError, MaskMismatch
from selfvos.projects.project import Project
from selfvos.types import Frame, ObjectState, Tracked, TrackReader, Watch, go_on, ignore


def import_project(
    path: str | Path, out: str | Path, *, video: str | Path, format: str | None = None, watch: Watch = ignore
) -> Project:
    """Make a project of a track that this or another program wrote, with its names and colours.

    The first frame of each object counts as drawn, all others as tracked: corrections there are tracked on from, and
    make stale what follows, as in every project. Close it, or use it as a context manager.

    Args:
        path: The folder of a track or of a project, or a file or folder of one of the formats.
        out: A new or an empty folder.
        video: The video that the masks are of.
        format: Which format; by default what `path` looks like.
        watch: Hears of every frame; is asked to go on before each.

    Raises:
        UnknownName, MissingExtra: As `read_track`.
        UsageError: There is no such track or video, or `out` holds something.
        MaskMismatch: Masks are of another size than the video.
        DataError: The video ends before the masks, or a file is damaged.
        Stopped: The watch asked for it; the frames so far are in the project.
    """
    track = read_track(path, format)
    source = open_source(video, fps=track.fps)
    if source.size is not None and source.size != track.size:
        came, wanted = (f"{height}x{width}" for height, width in (track.size, source.size))
        raise MaskMismatch(f"masks are {came}, the video is {wanted}; give the video that they are of")
    places = {index: place for place, index in enumerate(places_in(track, source))}
    project = Project.create(out, video)
    try:
        done = 0
        for frame in source.frames(min(places), max(places) + 1):
            if frame.index in places:
                go_on(watch)
                _put(project, track, places[frame.index], frame)
                done += 1
                watch.tell("importing", done, len(places))
        if done < len(places):
            raise DataError(f"{video} ends before {len(places) - done} of the masks; give the video that they are of")
    except BaseException:
        project.close()
        raise
    return project


def _put(project: Project, track: TrackReader, place: int, frame: Frame) -> None:
    """Put one frame into a project: as a drawing where an object is seen for the first time."""
    ids, known = track.mask(place), project.state.objects.keys()
    new = {int(i) for i in np.unique(ids) if i} - known
    if new:
        project.draw(frame.index, ids)
        for thing in track.objects:
            if thing.id in new:
                project.change_object(thing.id, name=thing.name, colour=thing.colour)
        return
    states = [ObjectState(one.id, one.confidence, one.lost) for one in track.frames[place].objects if one.id in known]
    project.store.keep(Tracked(frame, ids, tuple(states)), revision=project.state.revision, step=1)
