"""Two objects become one, and one becomes two: in drawings, tracked frames, after undo, and after a restart."""

import numpy as np
import pytest
from tests.tiny import SIDE, picture

from selfvos.errors import UsageError
from selfvos.projects.edits import State
from selfvos.projects.project import Project
from selfvos.projects.shown import id_now
from selfvos.types import Frame, ObjectState, Tracked


def squares(first=1, second=2):
    """Two squares that do not touch."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[4:14, 4:14], mask[30:40, 30:50] = first, second
    return mask


def keep(project, index, mask, ids, confidences=(0.9, 0.6)):
    frame = Frame(picture(0), index, f"{index:05d}", index / 25)
    states = tuple(ObjectState(id=id, confidence=sure, lost=False) for id, sure in zip(ids, confidences, strict=False))
    project.store.keep(Tracked(frame, mask, states), revision=project.state.revision, step=1)


@pytest.fixture
def two(project):
    project.draw(0, squares())
    project.change_object(1, name="dog")
    project.change_object(2, name="its tail")
    for index in (1, 2):
        keep(project, index, squares(), (1, 2))
    return project


def test_merged_objects_are_one_in_drawings_and_tracked_frames_and_nothing_is_stale(two):
    two.merge_objects(2, 1)
    assert [(one.id, one.name) for one in two.objects] == [(1, "dog")]
    for frame in (0, 1, 2):
        assert np.array_equal(two.mask_at(frame), squares(1, 1))
    assert two.stale == ()
    (one,) = two.frames[1].objects
    assert (one.id, one.area, one.box, one.lost) == (1, 300, (4, 4, 50, 40), False)
    assert one.confidence == pytest.approx((0.9 * 100 + 0.6 * 200) / 300)


def test_undo_and_redo_of_a_merge_also_after_a_restart(two):
    two.merge_objects(2, 1)
    keep(two, 3, squares(1, 1), (1,))
    two.close()
    with Project.open(two.folder) as again:
        assert again.undo() == "merge its tail into dog"
        assert [one.name for one in again.objects] == ["dog", "its tail"]
        for frame in (0, 1, 2):
            assert np.array_equal(again.mask_at(frame), squares())
        assert again.stale == (3,)  # it was tracked while both were one
        assert again.redo() == "merge its tail into dog"
        assert again.stale == ()
        assert np.array_equal(again.mask_at(1), squares(1, 1))
        assert np.array_equal(again.mask_at(0), squares(1, 1))


def test_one_merge_after_another_and_then_away(two):
    two.add_object("lead")
    two.merge_objects(2, 3)
    two.merge_objects(3, 1)
    assert np.array_equal(two.mask_at(1), squares(1, 1))
    two.remove_object(1)
    assert not two.mask_at(1).any()
    assert two.frames[1].objects == ()
    assert two.add_object().id == 4  # ids that frames were tracked with are given to nothing else
    for _ in range(2):
        two.undo()
    two.undo()
    assert np.array_equal(two.mask_at(1), squares(1, 3))


def test_what_an_old_page_draws_of_a_merged_object_goes_to_the_whole(two):
    two.merge_objects(2, 1)
    two.draw(4, squares())
    assert np.array_equal(two.keyframe(4), squares(1, 1))
    assert [one.id for one in two.objects] == [1]


def test_merges_that_make_no_sense_are_refused(two):
    revision = two.state.revision
    with pytest.raises(UsageError, match="itself"):
        two.merge_objects(1, 1)
    for pair in ((1, 7), (7, 1)):
        with pytest.raises(UsageError, match="no object 7"):
            two.merge_objects(*pair)
    assert two.state.revision == revision


def test_a_circle_of_merges_ends():
    assert id_now(State(merged={1: 2, 2: 1}), 1) == 0
    assert id_now(State(merged={1: 2, 2: 1}, objects={2: {}}), 1) == 2


def test_objects_that_are_drawn_complete_stay_so_after_undo(two):
    named = two.state.named
    two.merge_objects(2, 1)
    two.undo()
    assert two.state.named == named


def test_a_piece_becomes_an_object_of_its_own(project):
    project.draw(0, squares(1, 1))
    for index in (1, 2):
        keep(project, index, squares(1, 1), (1,))
    new = project.split_object(1, 40, 35, name="other")
    assert (new.id, new.name) == (2, "other")
    assert np.array_equal(project.mask_at(1), squares(1, 2))
    assert project.keyframes == (0, 1)
    assert project.stale == (2,)
    assert project.undo() == "split object 1"
    assert (project.keyframes, project.stale) == ((0,), (1, 2))
    assert [one.id for one in project.objects] == [1]


def test_pieces_that_cannot_be_split_off_are_refused(project):
    project.draw(0, squares())
    with pytest.raises(UsageError, match="in one piece"):
        project.split_object(0, 5, 5)
    for place in ((0, 0), (-1, 5), (SIDE, 5)):
        with pytest.raises(UsageError, match="no object at"):
            project.split_object(0, *place)


def test_ids_above_255_fit(project):
    mask = squares().astype(np.uint16)
    project.draw(0, mask)
    big = squares().astype(np.uint16)
    big[50:60, 50:60] = 300
    project.draw(1, big)
    project.merge_objects(1, 300)
    assert (project.keyframe(0)[4:14, 4:14] == 300).all()
    keep(project, 2, squares(), (1, 2))
    assert (project.mask_at(2)[4:14, 4:14] == 300).all()
