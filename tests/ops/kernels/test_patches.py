import numpy as np
import pytest

from selfvos.ops.kernels.colour_votes import turn_into_votes
from selfvos.ops.kernels.patches import COLOURS, inside_window, see_patch, sum_of_squares

ROWS, COLUMNS = 9, 12


def patch_of(picture, top, left, side):
    """The same by numpy: a picture whose border repeats."""
    rows, columns = (np.clip(np.arange(a, a + side), 0, n - 1) for a, n in ((top, ROWS), (left, COLUMNS)))
    return picture[rows][:, columns].transpose(2, 0, 1).astype(np.float32)


@pytest.mark.parametrize(("top", "left"), [(2, 3), (-3, -2), (5, 9), (-20, 4), (30, 30)])
def test_a_patch_repeats_the_border(top, left):
    pictures = np.random.default_rng(0).integers(0, 256, (2, ROWS, COLUMNS, 3), dtype=np.uint8)
    side, first, plane = 5, 7, 40
    patch = np.full(COLOURS * plane, -1, np.float32)
    see_patch(pictures, 1, top, left, side, patch, first, plane)
    seen = patch.reshape(COLOURS, plane)
    expected = patch_of(pictures[1], top, left, side)
    np.testing.assert_array_equal(seen[:, first : first + side * side].reshape(COLOURS, side, side), expected)
    assert (np.delete(seen, np.s_[first : first + side * side], axis=1) == -1).all()


@pytest.mark.parametrize(("window", "reach"), [(1, 1), (3, 1), (6, 1), (6, 2), (10, 3)])
def test_windows_differ_by_what_lies_inside_them(window, reach):
    side = window + 2 * reach
    here, there = np.random.default_rng(1).integers(0, 256, (2, COLOURS, side, side)).astype(np.float32)
    inside = inside_window(window, side)
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            found = sum_of_squares(here.ravel(), there.ravel(), down * side + right, inside)
            other = there[:, down : down + window, right : right + window]
            assert found == ((here[:, :window, :window] - other) ** 2).sum()


def test_votes_are_powers_of_e():
    costs = np.random.default_rng(2).uniform(0, 30, 999).astype(np.float32)
    costs[:3] = 0, 1e9, np.float32(np.log(2))
    least, shares, total = np.zeros(999, np.float32), np.full(999, 0.5, np.float32), np.ones(999, np.float32)
    expected = 0.5 * np.exp(-costs.astype(np.float64))
    whole = np.empty(999, np.int32)
    turn_into_votes(costs, least, shares, whole, whole.view(np.float32), total)
    np.testing.assert_allclose(costs, expected, rtol=2e-6, atol=1e-30)
    np.testing.assert_allclose(total, 1 + expected, rtol=1e-6)
