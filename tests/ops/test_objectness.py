import numpy as np
import pytest

from selfvos.errors import UsageError
from selfvos.ops.objectness import Objectness, things


def _scene(t=4, h=20, w=30):
    """Sky above ground, two things in front: one that moves, one that is smaller."""
    maps = np.zeros((t, h, w), np.uint8)
    maps[:, h // 2 :] = 1
    for i in range(t):
        maps[i, 6:14, 4 + 2 * i : 12 + 2 * i] = 2
        maps[i, 8:12, 22:26] = 3
    return maps


def test_what_fills_the_border_is_background_and_the_larger_thing_comes_first():
    found = things(_scene(), Objectness())
    maps = _scene()
    np.testing.assert_array_equal(found, np.select([maps == 2, maps == 3], [1, 2], 0))


def test_two_things_of_one_cluster_are_two_objects():
    maps = _scene()
    maps[maps == 3] = 2
    found = things(maps, Objectness())
    assert sorted(np.unique(found)) == [0, 1, 2]
    assert (found[:, 8:12, 22:26] == 2).all()


def test_a_thing_that_moves_by_more_than_itself_stays_one_where_it_touches():
    maps = np.zeros((3, 12, 24), np.uint8)
    for i in range(3):
        maps[i, 4:8, 4 + 4 * i : 8 + 4 * i] = 1  # side by side from frame to frame: diagonal in time
    assert set(np.unique(things(maps, Objectness()))) == {0, 1}


@pytest.mark.parametrize(
    ("config", "left"),
    [
        (Objectness(objects=1), {0, 1}),
        (Objectness(min_area=0.05), {0, 1}),  # the small one covers 16 of 600 cells
        (Objectness(max_area=0.05), {0, 1}),  # the large one 64 of 600
    ],
)
def test_limits_leave_things_out(config, left):
    assert set(np.unique(things(_scene(), config))) == left


def test_the_nearest_thing_is_taken_where_none_passes():
    found = things(_scene(), Objectness(min_area=0.2, max_area=0.2))
    assert (found > 0).any()
    np.testing.assert_array_equal(found > 0, _scene() == 2)


def test_one_cluster_alone_is_background():
    assert not things(np.zeros((2, 8, 8), np.uint8), Objectness()).any()


@pytest.mark.parametrize("wrong", [{"objects": 0}, {"min_area": 0.0}, {"min_area": 0.6}, {"max_border": 1.5}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(UsageError):
        Objectness(**wrong)
