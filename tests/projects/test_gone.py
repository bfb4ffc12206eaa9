"""An object that was taken out of a project is in none of its frames, tracked ones included."""

import numpy as np
import pytest
from tests.web.journeys.desk import red, write_scene

from selfvos import api
from selfvos.projects.project import Project


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "project", write_scene(tmp_path / "squares.mp4")) as project:
        both = red(0)
        both[40:50, 60:80] = 2
        project.draw(0, both)
        for _ in api.track_project(api.load("lab-patches", device="cpu"), project.folder, [(0, 2)]):
            pass
        project.store.refresh()
        yield project


def test_a_removed_object_leaves_tracked_frames_and_comes_back_with_undo(project):
    before = project.mask_at(1)
    assert set(np.unique(before)) == {0, 1, 2}
    project.remove_object(2)
    assert np.array_equal(project.mask_at(1), np.where(before == 2, 0, before))
    assert [[one.id for one in record.objects] for record in project.frames] == [[1]] * 3
    project.undo()
    assert np.array_equal(project.mask_at(1), before)
    assert [one.id for one in project.frames[1].objects] == [1, 2]


def test_weights_that_know_no_quality_track_in_their_one_way(project):
    assert set(project.store.frames) >= {1, 2}
