import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfvos.errors import UsageError
from selfvos.ops.propagation import dense_affinity
from selfvos.ops.reconstruction import (
    at_cells,
    label_loss,
    photometric_loss,
    propagate_window,
    window_affinity,
    window_scores,
)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def telling(h: int, w: int) -> torch.Tensor:
    """Features by which every cell knows itself and no other."""
    return 50 * torch.eye(h * w).view(1, h * w, h, w)


def all_pairs(target, reference, radius: int, temperature: float) -> torch.Tensor:
    """Every cell against every cell, those out of reach at -inf: b (target cells) (reference cells)."""
    h, w = target.shape[-2:]
    place = torch.cartesian_prod(torch.arange(h), torch.arange(w))
    far = (place[:, None] - place).abs().amax(dim=-1) > radius
    return (target.flatten(2).mT @ reference.flatten(2) / temperature).masked_fill(far, -torch.inf)


@pytest.mark.parametrize(("h", "w", "radius"), [(4, 5, 2), (5, 3, 1), (1, 6, 2), (3, 3, 0), (2, 3, 4)])
def test_the_window_equals_all_pairs_with_the_far_ones_left_out(h, w, radius):
    results = []
    for windowed in (True, False):
        target, reference, values = (randn(2, c, h, w, seed=i).requires_grad_() for i, c in enumerate((7, 7, 3)))
        others = randn(2, h, w, seed=3).requires_grad_()
        if windowed:
            scores = window_scores(target, reference, radius_cells=radius, temperature=0.5)
            rebuilt = propagate_window(window_affinity(scores, others), values)
        else:
            scores = all_pairs(target, reference, radius, 0.5)
            joined = torch.cat([scores, others.flatten(1)[..., None]], dim=-1).softmax(dim=-1)
            rebuilt = (values.flatten(2) @ joined[..., :-1].mT).unflatten(-1, (h, w))
        (rebuilt * randn(2, 3, h, w, seed=4)).sum().backward()
        results.append([rebuilt.detach(), target.grad, reference.grad, values.grad, others.grad])
    for ours, slow in zip(*results, strict=True):
        torch.testing.assert_close(ours, slow, atol=1e-5, rtol=1e-5)


def test_a_window_over_the_whole_map_is_the_dense_affinity():
    target, reference, values = randn(1, 5, 3, 4), randn(1, 5, 3, 4, seed=1), randn(1, 2, 3, 4, seed=2)
    dense = dense_affinity(target.flatten(2), reference.flatten(2), 0.3)
    scores = window_scores(target, reference, radius_cells=3, temperature=0.3)
    torch.testing.assert_close(
        propagate_window(window_affinity(scores), values), (values.flatten(2) @ dense).unflatten(-1, (3, 4))
    )


def test_windows_count_row_by_row_from_the_upper_left():
    place = torch.arange(1.0, 10).view(1, 1, 3, 3)
    scores = window_scores(torch.ones(1, 1, 3, 3), place, radius_cells=1)
    assert scores[0, :, 1, 1].tolist() == list(range(1, 10))
    assert scores[0, :, 0, 0].tolist() == [-math.inf] * 4 + [1, 2, -math.inf, 4, 5]


def test_alike_features_give_the_mean_of_the_window():
    scores = window_scores(torch.zeros(1, 4, 3, 3), torch.zeros(1, 4, 3, 3), radius_cells=1)
    rebuilt = propagate_window(window_affinity(scores), torch.arange(9.0).view(1, 1, 3, 3))
    # The corner sees 0 1 3 4, the edge 0 1 2 3 4 5, the middle everything.
    torch.testing.assert_close(rebuilt[0, 0], torch.tensor([[2.0, 2.5, 3.0], [3.5, 4.0, 4.5], [5.0, 5.5, 6.0]]))


def test_identical_frames_with_telling_features_are_copied():
    values = torch.rand(1, 3, 4, 5)
    scores = window_scores(telling(4, 5), telling(4, 5), radius_cells=2)
    rebuilt = propagate_window(window_affinity(scores), values)
    torch.testing.assert_close(rebuilt, values)
    assert photometric_loss(rebuilt, values).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("radius", "found"), [(2, True), (1, False)])
def test_what_moved_is_found_within_reach(radius, found):
    target = telling(5, 7)
    reference = target.roll((1, -2), dims=(2, 3))  # everything has come from one row below, two columns to the left
    values = torch.arange(35.0).view(1, 1, 5, 7)
    rebuilt = propagate_window(window_affinity(window_scores(target, reference, radius_cells=radius)), values)
    assert (rebuilt[0, 0, 1, 4] == values[0, 0, 2, 2]) == found


def test_others_take_their_share_and_carry_nothing():
    scores = window_scores(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1), radius_cells=0)
    affinity = window_affinity(scores, torch.full((1, 1, 1), math.log(3)))
    assert affinity.item() == pytest.approx(0.25)
    assert propagate_window(affinity, torch.full((1, 1, 1, 1), 8.0)).item() == pytest.approx(2.0)


@settings(deadline=None, max_examples=30)
@given(h=st.integers(1, 6), w=st.integers(1, 6), radius=st.integers(0, 4), seed=st.integers(0, 99))
def test_every_window_shares_out_one(h, w, radius, seed):
    scores = window_scores(randn(2, 3, h, w, seed=seed), randn(2, 3, h, w, seed=seed + 1), radius_cells=radius)
    assert scores.shape == (2, (2 * radius + 1) ** 2, h, w)
    torch.testing.assert_close(window_affinity(scores).sum(dim=1), torch.ones(2, h, w))


def test_all_pairs_never_exist():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        target, reference = randn(1, 4, 24, 24).requires_grad_(), randn(1, 4, 24, 24).requires_grad_()
        affinity = window_affinity(window_scores(target, reference, radius_cells=2))
        propagate_window(affinity, torch.rand(1, 1, 24, 24)).sum().backward()
    assert max(kept) <= 25 * 24 * 24


def test_scores_keep_their_precision_under_autocast():
    target, reference = randn(1, 16, 4, 4), randn(1, 16, 4, 4, seed=1)
    exact = window_scores(target, reference, radius_cells=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(window_scores(target, reference, radius_cells=1), exact)


@pytest.mark.parametrize("settings", [{"radius_cells": -1}, {"radius_cells": 1, "temperature": 0.0}])
def test_impossible_windows_are_refused(settings):
    with pytest.raises(UsageError, match="a window needs"):
        window_scores(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), **settings)


def test_cells_lie_on_every_stride_th_pixel():
    image = torch.arange(64).view(8, 8)
    assert at_cells(image, 4).tolist() == [[0, 4], [32, 36]]
    assert at_cells(image.float()[None, None], 8).tolist() == [[[[0.0]]]]


@pytest.mark.parametrize(("difference", "loss"), [(0.0, 0.0), (0.025, 0.125), (0.05, 0.5), (0.1, 1.5), (-0.1, 1.5)])
def test_photometric_loss_is_quadratic_then_linear(difference, loss):
    guess, truth = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 8, 8), difference)
    assert photometric_loss(guess, truth).item() == pytest.approx(loss)


def test_label_loss_knows_certainty_doubt_and_error():
    labels = torch.tensor([[[0, 2], [1, 2]]])
    right = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    assert label_loss(right, labels).item() == 0
    assert label_loss(torch.full((1, 4, 2, 2), 0.25), labels).item() == pytest.approx(math.log(4))
    assert label_loss(right.roll(1, dims=1), labels).item() == pytest.approx(8 * math.log(10))
    assert label_loss(torch.full((1, 4, 1, 1), 0.5), labels).item() == pytest.approx(math.log(2))
