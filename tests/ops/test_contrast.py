import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.ops.contrast import gather_points, grid_points, info_nce, similarity


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(3)), dim=-1)


@settings(deadline=None, max_examples=40)
@given(per_side=st.integers(1, 8), rows=st.integers(8, 40), columns=st.integers(8, 40), seed=st.integers(0, 50))
def test_grid_points_are_distinct_cells_inside_the_map(per_side, rows, columns, seed):
    points = grid_points(3, per_side, rows, columns, seeded(seed))
    assert points.shape == (3, per_side**2, 2)
    assert (points >= 0).all()
    assert (points < torch.tensor([rows, columns])).all()
    assert all(len(sample.unique(dim=0)) == per_side**2 for sample in points)


def test_a_grid_is_regular_and_moves_as_one():
    points = grid_points(50, 4, 16, 32, seeded())
    steps = points - points[:, :1]
    expected = torch.cartesian_prod(torch.arange(4) * 4, torch.arange(4) * 8)
    assert (steps == expected).all()
    corners = points[:, 0]
    assert corners[:, 0].unique().tolist() == [0, 1, 2, 3]
    assert corners[:, 1].unique().tolist() == list(range(8))


def test_a_full_grid_is_every_cell():
    points = grid_points(2, 8, 8, 8, seeded())
    assert torch.equal(points[0], torch.cartesian_prod(torch.arange(8), torch.arange(8)))


def test_a_grid_finer_than_the_map_is_refused():
    with pytest.raises(UsageError, match="8x8 points do not fit 7x9"):
        grid_points(1, 8, 7, 9, seeded())


def test_gathered_features_are_those_at_row_and_column():
    features = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5).float()
    points = torch.tensor([[[0, 0], [3, 1]], [[2, 4], [1, 0]]])
    found = gather_points(features, points)
    assert torch.equal(found[0, 1], features[0, :, 3, 1])
    assert torch.equal(found[1, 0], features[1, :, 2, 4])


def test_similarity_stays_exact_under_autocast():
    left, right = unit(5, 16), unit(7, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = similarity(left, right, temperature=0.05)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, left @ right.T * 20)


def test_orthogonal_features_give_the_closed_form():
    features = torch.eye(6).view(2, 3, 6)
    loss = info_nce(features, features, temperature=0.5)
    assert loss.item() == pytest.approx(math.log1p(5 * math.exp(-1 / 0.5)), abs=1e-6)


def test_equal_features_are_all_lost():
    features = functional.normalize(torch.ones(2, 4, 3), dim=-1)
    assert info_nce(features, features, temperature=0.05).item() == pytest.approx(math.log(8), abs=1e-5)


def test_the_loss_is_the_mean_over_anchors_of_the_definition():
    anchors, positives, temperature = unit(2, 3, 4), unit(2, 3, 4).flip(1), 0.3
    losses = []
    for b in range(2):
        for p in range(3):
            scores = [(anchors[b, p] @ positives[i, j] / temperature).exp() for i in range(2) for j in range(3)]
            losses.append(-(scores[3 * b + p] / sum(scores)).log())
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(info_nce(anchors, positives, temperature=temperature), expected)


def test_close_positions_of_the_same_sample_are_no_negatives():
    # Cells 2 apart are left out, cells sqrt(5) apart are not; the other sample counts at the same cell too.
    features = torch.eye(6).view(2, 3, 6)
    points = torch.tensor([[0, 0], [0, 2], [1, 2]]).expand(2, 3, 2)
    loss = info_nce(features, features, temperature=1.0, points=points, exclude_within_cells=2.0)
    negatives = torch.tensor([4.0, 3.0, 4.0])  # own sample 1, 0, 1; other sample 3
    assert loss.item() == pytest.approx(torch.log1p(negatives * math.exp(-1)).mean().item(), abs=1e-6)


def test_no_exclusion_equals_no_points():
    anchors, positives = unit(2, 5, 4), unit(2, 5, 4).flip(1)
    points = grid_points(2, 3, 6, 6, seeded())[:, :5]
    plain = info_nce(anchors, positives, temperature=0.1)
    torch.testing.assert_close(
        info_nce(anchors, positives, temperature=0.1, points=points, exclude_within_cells=0.0), plain
    )


def test_samples_that_are_not_scored_remain_negatives():
    anchors, positives = unit(3, 4, 8), unit(3, 4, 8).flip(1)
    only_second = info_nce(anchors, positives, temperature=0.2, scored=torch.tensor([False, True, False]))
    scores = anchors[1] @ positives.flatten(0, 1).T / 0.2
    torch.testing.assert_close(only_second, functional.cross_entropy(scores, torch.arange(4, 8)))


def test_gradient_reaches_both_sides():
    anchors, positives = unit(2, 4, 8).requires_grad_(), unit(2, 4, 8).flip(1).requires_grad_()
    points = grid_points(2, 2, 4, 4, seeded())
    info_nce(anchors, positives, temperature=0.05, points=points).backward()
    for side in (anchors, positives):
        assert side.grad is not None
        assert side.grad.isfinite().all()
        assert side.grad.abs().sum() > 0
