import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfvos.evaluation.boundary import Edges, count_near, tolerance_px, trace


def traced(ids, count):
    """Boundaries of objects 1 to count as sets of (y, x)."""
    edges = trace(np.require(ids, np.uint8, ["C", "W"]), np.arange(256) * (np.arange(256) <= count), count)
    return [
        {(y, int(x)) for y in range(len(starts) - 1) for x in edges.columns[starts[y] : starts[y + 1]]}
        for starts in edges.starts
    ], edges


@pytest.mark.parametrize(("shape", "radius"), [((480, 854), 8), ((480, 910), 9), ((480, 1152), 10), ((240, 432), 4)])
def test_tolerance_follows_the_diagonal(shape, radius):
    assert tolerance_px(shape) == radius


def test_tolerance_from_one_on_is_in_pixels():
    assert tolerance_px((480, 854), 3.0) == 3
    assert tolerance_px((480, 854), 1.0) == 1


def test_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="tolerance must be >= 0, got -1"):
        tolerance_px((4, 4), -1.0)


def test_square_has_a_boundary_outside_above_left_and_inside_below_right():
    ids = np.zeros((6, 6), np.uint8)
    ids[2:4, 2:4] = 1
    (found,), _ = traced(ids, 1)
    assert found == {(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (2, 3), (3, 2), (3, 3)}


def test_the_picture_border_is_no_boundary():
    (full,), _ = traced(np.ones((5, 7)), 1)
    assert full == set()
    left_half = np.zeros((3, 4), np.uint8)
    left_half[:, :2] = 1
    (found,), _ = traced(left_half, 1)
    assert found == {(0, 1), (1, 1), (2, 1)}
    top_half = left_half.T.copy()
    (found,), _ = traced(top_half, 1)
    assert found == {(1, 0), (1, 1), (1, 2)}


def test_objects_that_touch_share_boundary_pixels():
    found, edges = traced(np.array([[1, 1, 2, 2]]), 2)
    assert found == [{(0, 1)}, {(0, 1)}]
    assert edges.counts.tolist() == [1, 1]


def test_ids_that_are_not_asked_for_have_no_boundary_of_their_own():
    found, _ = traced(np.array([[1, 7, 9, 9]]), 2)
    assert found == [{(0, 0)}, set()]


@pytest.mark.parametrize("shape", [(1, 1), (0, 4), (4, 0)])
def test_maps_without_neighbours_have_no_boundary(shape):
    (found,), edges = traced(np.ones(shape), 1)
    assert found == set()
    assert edges.counts.tolist() == [0]


def as_edges(points, shape):
    """Edges of a single object with boundary pixels at these places."""
    dense = np.zeros(shape, bool)
    dense[tuple(zip(*points, strict=True))] = True
    starts = np.concatenate([[0], dense.sum(axis=1).cumsum()])[None]
    return Edges(starts, np.nonzero(dense)[1])


@pytest.mark.parametrize(
    ("offset", "radius", "near"),
    [((0, 3), 3, 1), ((0, 4), 3, 0), ((3, 0), 3, 1), ((2, 2), 3, 1), ((2, 3), 3, 0), ((0, 0), 0, 1), ((1, 0), 0, 0)],
)
def test_near_is_a_euclidean_disc(offset, radius, near):
    here, there = as_edges([(5, 5)], (12, 12)), as_edges([(5 + offset[0], 5 - offset[1])], (12, 12))
    assert count_near(here, there, radius).tolist() == [near]


points = st.sets(st.tuples(st.integers(0, 11), st.integers(0, 15)), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(ours=points, others=points, radius=st.integers(0, 14))
def test_near_agrees_with_every_pair_measured(ours, others, radius):
    expected = sum(any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in others) for y, x in ours)
    found = count_near(as_edges(ours, (12, 16)), as_edges(others, (12, 16)), radius)
    assert found.tolist() == [expected]
