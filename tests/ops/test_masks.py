import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfvos.ops.masks import aggregate, correct, corrected, log_aggregate, one_hot, to_cells, to_pixels


def test_channels_sum_to_one_and_background_comes_first():
    probabilities = aggregate(torch.randn(2, 3, 4, 5))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, 4, 5))
    assert aggregate(torch.full((1, 2, 1, 1), -9.0)).argmax() == 0


def test_known_answer():
    # p = 1/2 for both: background 1/4, odds 1/3 : 1 : 1.
    expected = torch.tensor([1 / 7, 3 / 7, 3 / 7]).view(1, 3, 1, 1)
    torch.testing.assert_close(aggregate(torch.zeros(1, 2, 1, 1)), expected)


@settings(deadline=None)
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=5))
def test_the_logarithm_agrees(values):
    logits = torch.tensor(values).view(1, -1, 1, 1)
    torch.testing.assert_close(log_aggregate(logits).exp(), aggregate(logits), atol=2e-5, rtol=1e-3)


def test_the_logarithm_keeps_a_gradient_where_all_is_saturated():
    logits = torch.tensor([-40.0, 40.0]).view(1, 2, 1, 1).requires_grad_()
    loss = -log_aggregate(logits)[0, 1].sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().max() > 0.5


def test_one_hot_and_sizes():
    labels = torch.tensor([[[0, 2], [1, 1]]])
    spread = one_hot(labels, 2)
    assert spread.shape == (1, 3, 2, 2)
    assert torch.equal(spread.argmax(dim=1), labels)
    torch.testing.assert_close(to_cells(spread, 2).flatten(), torch.tensor([0.25, 0.5, 0.25]))


def test_cells_become_pixels_along_straight_lines():
    """Pixels lie an eighth, three eighths ... of the way from one cell's centre to the next, and level off outside."""
    row = [0.0, 0.0, 0.125, 0.375, 0.625, 0.875, 1.0, 1.0]
    pixels = to_pixels(torch.tensor([[0.0, 1.0], [0.0, 1.0]]).view(1, 1, 2, 2), 4)
    torch.testing.assert_close(pixels, torch.tensor(row).expand(1, 1, 8, 8))


def test_no_correction_leaves_masks_to_the_bit_and_a_large_one_decides():
    masks = torch.tensor([1.0, 0.0, 0.0, 0.5, 0.5, 0.0]).reshape(2, 3, 1, 1)
    none = torch.zeros(2, 2, 1, 1)
    assert torch.equal(corrected(masks, none), masks)
    sure = corrected(masks, none + torch.tensor([0.0, 20.0])[None, :, None, None])
    torch.testing.assert_close(sure[:, 2], torch.ones(2, 1, 1), atol=2e-3, rtol=0)
    torch.testing.assert_close(sure.sum(dim=1), torch.ones(2, 1, 1), atol=2e-3, rtol=0)


def test_a_correction_of_log_2_doubles_the_odds():
    masks = torch.tensor([0.8, 0.2]).reshape(1, 2, 1, 1)
    expected = torch.tensor([0.8, 0.4]).reshape(1, 2, 1, 1) / 1.2
    doubled = torch.full((1, 1, 1, 1), math.log(2))
    torch.testing.assert_close(corrected(masks, doubled), expected)
    torch.testing.assert_close(correct(masks, doubled).exp(), expected)
