import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfvos.evaluation.points import pck, point_errors

SQUARE = np.array([[[0.0, 0.0], [30.0, 0.0], [0.0, 40.0], [30.0, 40.0]]])
"""A body whose box is 30 by 40: the diagonal is 50, the normaliser 30."""


def test_errors_are_shares_of_the_body():
    found = SQUARE + np.array([[0.0, 0.0], [3.0, 0.0], [0.0, -6.0], [9.0, 12.0]])
    np.testing.assert_allclose(point_errors(SQUARE, found), [[0.0, 0.1, 0.2, 0.5]])


def test_the_body_is_the_box_of_the_points_that_were_found():
    found = SQUARE.copy()
    found[0, 3] = np.nan
    found[0, 1] = (33.0, 0.0)
    found[0, 2] = np.nan  # left: (0, 0) and (30, 0), whose box is 30 wide and flat
    np.testing.assert_allclose(point_errors(SQUARE, found), [[0.0, 3 / 18, np.nan, np.nan]])


def test_one_point_alone_has_no_size_and_none_no_error():
    found = np.full_like(SQUARE, np.nan)
    assert np.isnan(point_errors(SQUARE, found)).all()
    found[0, 0] = SQUARE[0, 0]
    assert point_errors(SQUARE, found)[0, 0] == np.inf


def test_pck_leaves_missing_points_out():
    errors = np.array([[0.05, np.nan, np.inf], [0.1, np.nan, 0.2], [0.3, np.nan, np.nan]])
    np.testing.assert_allclose(pck(errors, 0.1), [2 / 3, np.nan, 0.0])
    np.testing.assert_allclose(pck(errors, 0.2), [2 / 3, np.nan, 0.5])


@given(arrays(np.float64, (4, 5, 2), elements=st.floats(0, 300)), st.floats(0.5, 4), st.floats(-50, 50))
def test_scale_and_place_do_not_matter(places, scale, shift):
    truth, found = places, places[::-1].copy()
    size = np.ptp(truth, axis=1).max(axis=1)
    errors = point_errors(truth, found)
    again = point_errors(truth * scale + shift, found * scale + shift)
    usual = size > 1  # a body smaller than a pixel is lost in rounding
    np.testing.assert_allclose(errors[usual], again[usual], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_perfect_points_are_all_found(share):
    np.testing.assert_array_equal(pck(point_errors(SQUARE, SQUARE), share), np.ones(4))
