import subprocess
import sys

import numpy as np
import pytest
from tests.tiny import SIDE, picture, truth

from selfvos.errors import DataError, MaskMismatch, UsageError
from selfvos.projects.keyframes import Drawings, mask_digest
from selfvos.projects.planning import Run, fill, plan
from selfvos.projects.project import Project
from selfvos.projects.store import TrackStore
from selfvos.types import Frame, ObjectState, Tracked, TrackReader


def tracked(index, mask, ids=(1,)):
    frame = Frame(picture(0), index, f"{index:05d}", index / 25)
    return Tracked(frame, mask, tuple(ObjectState(id=id, confidence=0.9, lost=False) for id in ids))


def track(project, frames, step=1):
    for index in frames:
        project.store.keep(tracked(index, truth(1)), revision=project.state.revision, step=step)


def test_a_drawing_is_named_by_what_it_shows(tmp_path):
    drawings = Drawings(tmp_path)
    digest = drawings.keep(truth(0))
    assert digest == mask_digest(truth(0).astype(np.int32)) != mask_digest(truth(1))
    assert mask_digest(np.zeros((2, 3), np.uint8)) != mask_digest(np.zeros((3, 2), np.uint8))
    assert np.array_equal(drawings.read(digest), truth(0))
    drawings.path(drawings.keep(truth(1))).replace(drawings.path(digest))
    with pytest.raises(DataError, match="changed from outside"):
        drawings.read(digest)
    drawings.path(digest).unlink()
    with pytest.raises(DataError, match="missing"):
        drawings.read(digest)


def test_the_last_line_of_a_frame_counts_and_others_are_seen_by_refresh(tmp_path):
    mine, other = TrackStore(tmp_path), TrackStore(tmp_path)
    mine.keep(tracked(4, truth(0)), revision=1, step=1)
    mine.keep(tracked(4, truth(1)), revision=2, step=-1)
    assert other.refresh() == [4, 4]
    assert (other.frames[4].revision, other.frames[4].step) == (2, -1)
    assert np.array_equal(other.mask(4), truth(1))
    assert other.refresh() == []


@pytest.mark.parametrize("cut", [1, 20])
def test_a_torn_line_swallows_no_later_one(tmp_path, cut):
    store = TrackStore(tmp_path)
    store.keep(tracked(1, truth(0)), revision=1, step=1)
    lines = tmp_path / "track.jsonl"
    lines.write_bytes(lines.read_bytes() + lines.read_bytes()[:cut])
    store = TrackStore(tmp_path)
    assert list(store.frames) == [1]
    store.keep(tracked(2, truth(0)), revision=1, step=1)
    assert list(store.frames) == list(TrackStore(tmp_path).frames) == [1, 2]


def test_create_refuses_what_is_there(tmp_path, project):
    with pytest.raises(UsageError):
        Project.create(project.folder, tmp_path / "clip")
    with pytest.raises(UsageError, match="no project"):
        Project.open(tmp_path / "none")
    (project.folder / "project.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        Project.look(project.folder)


def test_a_second_process_is_kept_out_until_it_is_closed(project):
    code = "import sys; from selfvos.projects.project import Project; Project.open(sys.argv[1])"
    command = [sys.executable, "-c", code, str(project.folder)]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another process works on" in out.stderr
    project.close()
    assert subprocess.run(command, check=False).returncode == 0


def test_drawing_adds_objects_and_removing_one_can_be_undone(project):
    both = truth(0) + 3 * np.roll(truth(0), 30, axis=1)
    project.draw(2, both)
    assert [one.id for one in project.objects] == [1, 3]
    revision = project.state.revision
    project.draw(2, both)
    assert project.state.revision == revision
    project.remove_object(3)
    assert set(np.unique(project.keyframe(2))) == {0, 1}
    project.undo()
    assert np.array_equal(project.keyframe(2), both)
    assert [one.id for one in project.objects] == [1, 3]
    assert project.add_object("car").id == 4
    project.change_object(4, name="van")
    assert project.objects[-1].name == "van"
    with pytest.raises(UsageError):
        project.remove_object(9)


def test_masks_that_do_not_fit_are_refused(project):
    for mask in (np.zeros((3, 4), np.uint8), np.full((SIDE, SIDE), -1), np.full((SIDE, SIDE), 70_000)):
        with pytest.raises(MaskMismatch):
            project.draw(0, mask)
    for frame in (-1, 10):
        with pytest.raises(UsageError, match="frames 0 to 9"):
            project.draw(frame, truth(0))
    assert project.keyframes == ()


def test_frames_that_a_drawing_would_change_are_stale(project):
    project.draw(0, truth(0))
    track(project, range(6))
    assert project.stale == ()
    project.draw(3, truth(3))
    assert project.stale == (4, 5)
    project.undo()
    track(project, range(3, 6))
    assert project.stale == ()
    project.draw(9, truth(9))
    track(project, range(8, 5, -1), step=-1)
    project.draw(7, truth(7))
    assert project.stale == (6,)


def test_it_reads_as_a_track(project):
    assert isinstance(project, TrackReader)
    project.draw(1, truth(1))
    track(project, [2])
    assert [frame.index for frame in project.frames] == [1, 2]
    assert np.array_equal(project.mask(0), truth(1))
    assert not project.mask_at(5).any()


def test_plans_start_at_the_nearest_known_mask(project):
    with pytest.raises(UsageError, match="nothing was drawn"):
        plan(project, 4, 8)
    project.draw(2, truth(2))
    project.draw(6, truth(6))
    assert plan(project, 4, 8) == Run(2, 8)
    assert plan(project, 4, 0) == Run(6, 0)
    assert plan(project, 6, 9) == Run(6, 9)
    track(project, [3, 4])
    assert plan(project, 4, 8) == Run(4, 8)
    project.draw(1, truth(1))
    assert plan(project, 4, 8) == Run(2, 8)
    assert fill(project, 2, 6) == [Run(2, 4), Run(6, 5)]
    with pytest.raises(UsageError, match="no frame 10"):
        plan(project, 0, 10)
    with pytest.raises(UsageError, match="frame 3"):
        fill(project, 2, 3)
