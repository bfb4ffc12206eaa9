import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfvos.ops.levels import level, line_level, line_share, lines, raised, raised_plain


def box(height, width, rows, columns):
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = True
    return mask


def test_a_sure_object_ends_at_one_half_and_an_unsure_one_before():
    values = torch.zeros(4, 6)
    values[1:3, 1:4] = 0.9
    values[0] = 0.4  # what is not inside does not count
    assert level(values, sure=0.9) == pytest.approx(0.5)
    assert level(values, sure=0.92) == pytest.approx(0.49)
    assert level(values, sure=0.86) == pytest.approx(0.52)


def test_an_object_that_is_nowhere_keeps_one_half():
    assert level(torch.full((3, 3), 0.5), sure=0.92) == 0.5
    assert level(torch.zeros(0, 4), sure=0.92) == 0.5


@given(mean=st.floats(0.501, 1.0), sure=st.floats(0.501, 1.0))
def test_levels_stay_near_one_half(mean, sure):
    assert 0.3 <= level(torch.full((2, 2), mean), sure) <= 0.55


@given(share=st.floats(0, 1))
def test_lines_have_to_reach_less_the_more_there_are(share):
    assert 0.2 <= line_level(share) <= line_level(share * 0.9) <= 0.5
    assert share > 1 / 3 or line_level(share) == 0.5


@pytest.mark.parametrize("width_px", [3.0, 7.0])
def test_what_is_narrow_is_a_line(width_px):
    assert line_share(box(40, 60, slice(5, 35), slice(5, 55)), width_px) == 0
    assert line_share(box(40, 60, slice(5, 35), slice(20, 22)), width_px) == 1
    both = box(40, 60, slice(5, 35), slice(5, 30)) | box(40, 60, slice(10, 12), slice(30, 55))
    assert 0.2 < line_share(both, width_px) < 0.5


def test_a_border_of_the_picture_is_no_outline_and_makes_no_line():
    assert line_share(box(40, 60, slice(0, 2), slice(0, 60)), 1.0) == 0
    assert line_share(box(40, 60, slice(0, 40), slice(0, 60)), 7.0) == 0


def test_a_dot_is_no_line():
    assert line_share(box(40, 60, slice(5, 10), slice(5, 10)), 7.0) == 0
    assert line_share(box(40, 60, slice(5, 8), slice(5, 50)), 7.0) == 1


@given(rows=st.integers(1, 30), columns=st.integers(1, 30), top=st.integers(0, 9), left=st.integers(0, 9))
def test_where_an_object_lies_says_nothing_of_its_lines(rows, columns, top, left):
    def share(y, x):
        return line_share(box(60, 60, slice(y, y + rows), slice(x, x + columns)), 7.0)

    assert share(10 + top, 10 + left) == share(10, 10)
    assert 0 <= share(10, 10) <= 1


def test_lines_are_found_whatever_surrounds_them():
    values = torch.full((30, 40), 0.1)
    values[5:25, 5:20] = 0.9
    values[14:16, 20:38] = 0.4
    values[26:30, :] = 0.3  # a broad band is none
    found = lines(values, 7)
    assert found[14:16, 24:34].all()
    assert not found[5:25, 5:20].any()
    assert not found[27:].any()
    assert not lines(values, 1).any()


@given(threshold=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_values_win_where_they_reach_their_level(threshold, seed):
    values = torch.rand(1, 50, generator=torch.Generator().manual_seed(seed))
    found = raised(values, threshold)
    assert found.min() >= 0
    assert found.max() <= 1
    clear = (values - threshold).abs() > 1e-4
    assert torch.equal((found > 1 - values)[clear], (values > threshold)[clear])
    order = values[0].argsort()
    assert (found[0, order].diff() >= -1e-6).all()


def test_ends_stay_and_one_half_changes_nothing():
    values = torch.tensor([[0.0, 0.2, 0.5, 0.8, 1.0]])
    torch.testing.assert_close(raised(values, 0.5), values)
    torch.testing.assert_close(raised(values, 0.3)[0, [0, -1]], torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("along", [None, 0.2])
def test_compiled_and_plain_agree(along):
    values = torch.rand(31, 57, generator=torch.Generator().manual_seed(0))
    thin = None if along is None else values > 0.7
    found, plain = (bend(values, 0.43, thin, along or 0.5) for bend in (raised, raised_plain))
    torch.testing.assert_close(found, plain, rtol=1e-6, atol=1e-6)
    assert level(values.double(), 0.8) == pytest.approx(level(values, 0.8), abs=1e-5)
