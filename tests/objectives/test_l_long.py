import logging
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.l_long import LLong, LLongConfig, distant_pair, long_loss, rebuild
from selfvos.ops.contrast import grid_points
from selfvos.ops.warp import Transform, TransformConfig, sample_transform


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def still(batch: int, flip: float = 1.0) -> Transform:
    return Transform(torch.full((batch,), flip), torch.ones(batch), torch.zeros(batch), torch.zeros(batch))


def all_different(batch: int, side: int) -> torch.Tensor:
    cells = batch * side * side
    return torch.eye(cells).view(batch, side, side, cells).permute(0, 3, 1, 2)


def unit(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(5)), dim=1)


def test_pairs_keep_the_gap():
    index = torch.tensor([[0, 2, 4, 6, 8]] * 3)
    pairs = {distant_pair(index, min_gap=5, generator=seeded(seed))[:2] for seed in range(60)}
    assert pairs == {(0, 3), (3, 0), (0, 4), (4, 0), (1, 4), (4, 1)}


def test_short_clips_do_not_count():
    index = torch.tensor([[0, 1, 2], [0, 3, 6], [0, 5, 6]])
    for seed in range(8):
        pair = distant_pair(index, min_gap=6, generator=seeded(seed))
        assert {pair.frame, pair.reference} == {0, 2}
        assert pair.scored.tolist() == [False, True, True]
        assert pair.far_enough


def test_the_pair_that_suits_most_clips_is_taken():
    index = torch.tensor([[0, 5, 5], [0, 5, 5], [0, 1, 6]])
    for seed in range(8):
        pair = distant_pair(index, min_gap=5, generator=seeded(seed))
        assert {pair.frame, pair.reference} == {0, 2}
        assert pair.scored.all()


@settings(deadline=None, max_examples=40)
@given(
    index=st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=4), seed=st.integers(0, 9)
)
def test_the_farthest_pair_stands_in_where_all_are_near(index, seed):
    pair = distant_pair(torch.tensor(index), min_gap=10, generator=seeded(seed))
    total = {(i, j): sum(abs(row[i] - row[j]) for row in index) for i in range(3) for j in range(3) if i != j}
    assert total[pair.frame, pair.reference] == max(total.values())
    assert pair.scored.all()
    assert not pair.far_enough


def test_rebuilding_is_the_affinity_weighted_mean():
    query, reference = unit(2, 6, 3).mT, unit(2, 6, 2, 2)
    expected = []
    for b in range(2):
        cells = reference[b].flatten(1).T
        weights = torch.softmax(query[b] @ cells.T / 0.2, dim=1)
        expected.append(functional.normalize(weights @ cells, dim=1))
    torch.testing.assert_close(rebuild(query, reference, temperature=0.2), torch.stack(expected))


def test_a_query_finds_its_equal_wherever_it_is():
    reference = all_different(1, 4)
    query = reference.flatten(2).mT[:, [5, 11]]
    torch.testing.assert_close(rebuild(query, reference, temperature=0.02), query)


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_frames_with_the_same_content_cost_nothing_wherever_it_moved(flip):
    frame = all_different(2, 4)
    points = grid_points(2, 4, 4, 4, seeded())
    moved = frame.flip(2)
    assert long_loss(frame, moved, still(2, flip), points, temperature=0.05).item() < 1e-5


def test_unrelated_frames_are_lost():
    # The reference is orthogonal to all queries, so each rebuilt feature is the mean of its clip's reference.
    frame = torch.cat([all_different(2, 2), torch.zeros(2, 8, 2, 2)], dim=1)
    reference = frame.roll(8, dims=1)
    points = grid_points(2, 2, 2, 2, seeded())
    loss = long_loss(frame, reference, still(2), points, temperature=0.05)
    # Its own cell against four of the other clip; the rest of its own clip is too near to count.
    assert loss.item() == pytest.approx(math.log(5), abs=1e-5)


def test_clips_that_do_not_count_do_not_change_the_loss_of_others_but_for_negatives():
    frame, reference = unit(3, 8, 4, 4), unit(3, 8, 4, 4).flip(0)
    transform = sample_transform(3, seeded(), TransformConfig())
    points = grid_points(3, 2, 4, 4, seeded())
    each = [
        long_loss(frame, reference, transform, points, temperature=0.1, scored=torch.arange(3) == b) for b in range(3)
    ]
    together = long_loss(frame, reference, transform, points, temperature=0.1)
    torch.testing.assert_close(together, torch.stack(each).mean())


def test_both_frames_learn():
    frame, reference = unit(2, 8, 4, 4).requires_grad_(), unit(2, 8, 4, 4).flip(0).requires_grad_()
    transform = sample_transform(2, seeded(), TransformConfig())
    long_loss(frame, reference, transform, grid_points(2, 2, 4, 4, seeded()), temperature=0.05).backward()
    for side in (frame, reference):
        assert side.grad is not None
        assert side.grad.isfinite().all()
        assert side.grad.abs().sum() > 0


def test_near_frames_are_compared_with_one_warning(segmenter, clip, caplog):
    near = replace(clip, index=torch.arange(5).repeat(2, 1))
    objective = LLong(LLongConfig(min_gap=5))
    with caplog.at_level(logging.WARNING, logger="selfvos"):
        terms = [objective(EncodedClip(near, segmenter), seeded(seed)) for seed in (0, 1)]
    assert all(term.total > 0 for term in terms)
    assert len(caplog.records) == 1
    assert "min_gap=5" in caplog.text


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"points_per_side": 0}, {"min_gap": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UsageError, match="got 0"):
        LLongConfig(**wrong)
