import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.cltc import (
    CLTC,
    CLTCConfig,
    match_confidence,
    mined_loss,
    negative_band,
    region_support,
)
from selfvos.types import Clip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chosen(video: float, cells: int, *, too_hard: float, band: float) -> list[int]:
    ranks = negative_band(torch.tensor([video]), cells, too_hard=too_hard, band=band)[0]
    return ranks.nonzero().flatten().tolist()


def test_a_surrounding_that_moves_alike_is_full_support():
    best = torch.arange(12)[None] + 12  # everything three rows of four further down
    assert torch.equal(region_support(best, (3, 4)), torch.ones(1, 12))


def test_one_cell_that_moves_on_its_own():
    best = torch.arange(25).view(1, 5, 5)[:, :3, :3].flatten(1)
    rows, columns = best // 5, best % 5
    best = rows * 3 + columns  # the identity on 3x3
    best[0, 4] = 0  # one cell up and left: still close enough
    assert torch.equal(region_support(best, (3, 3)), torch.ones(1, 9))
    far = torch.arange(9)[None].clone()
    far[0, 4] = 10  # two columns away
    corner, edge = 3 / 4, 5 / 6
    expected = torch.tensor([[corner, edge, corner, edge, 1 / 9, edge, corner, edge, corner]])
    torch.testing.assert_close(region_support(far, (3, 3)), expected)


def test_still_frames_are_matched_with_confidence():
    scores = torch.eye(6)[None] / 0.5
    cells, video = match_confidence(scores, (2, 3))
    assert video.tolist() == [1.0]
    torch.testing.assert_close(cells, torch.full((1, 6), 1 - math.exp(-2)))


def test_matches_that_are_not_mutual_count_nothing():
    scores = torch.tensor([[[3.0, 0, 0, 0], [2.0, 0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 3.0]]])
    cells, video = match_confidence(scores, (1, 4))
    assert video.tolist() == [0.75]
    assert cells[0, 1] == 0
    pixel = 1 - math.exp(-3)
    # Cell 0 sees a neighbour that moves one column at most: full support.
    assert cells[0, 0].item() == pytest.approx(pixel * 0.75, abs=1e-6)


def test_equal_cells_give_no_confidence_and_no_loss():
    scores = torch.zeros(1, 9, 9, requires_grad=True)
    cells, video = match_confidence(scores, (3, 3))
    assert cells.abs().sum() == 0
    loss = mined_loss(scores, cells, negative_band(video, 9, too_hard=0.0, band=0.5))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize(("video", "ranks"), [(1.0, [2, 3, 4, 5]), (0.6, [4, 5, 6, 7]), (0.0, [7, 8, 9, 10])])
def test_negatives_grow_harder_with_confidence(video, ranks):
    assert chosen(video, 11, too_hard=0.1, band=0.4) == ranks


@settings(deadline=None, max_examples=60)
@given(
    video=st.floats(0, 1),
    cells=st.integers(2, 60),
    too_hard=st.floats(0, 0.5),
    band=st.floats(0.01, 0.5),
)
def test_there_is_always_a_negative_and_never_the_positive(video, cells, too_hard, band):
    ranks = chosen(video, cells, too_hard=too_hard, band=band)
    assert len(ranks) == max(1, int(band * (cells - 1)))
    assert ranks[0] >= 1
    assert ranks[-1] < cells


def test_the_loss_takes_the_best_match_against_the_band():
    scores = torch.tensor([[[0.0, 2.0, -1.0, 1.0], [4.0, 1.0, 1.0, 1.0]]])
    band = torch.tensor([[False, False, True, True]])
    first = math.log(math.exp(2) + math.exp(0) + math.exp(-1)) - 2
    second = math.log(math.exp(4) + 2 * math.exp(1)) - 4
    loss = mined_loss(scores, torch.tensor([[3.0, 1.0]]), band)
    assert loss.item() == pytest.approx((3 * first + second) / 4, abs=1e-6)


def test_the_least_similar_negatives_cost_least():
    scores = functional.normalize(torch.randn(1, 9, 16, generator=seeded()), dim=1)
    weights = torch.ones(1, 9)
    losses = [
        mined_loss(scores, weights, negative_band(torch.tensor([video]), 16, too_hard=0.0, band=0.4)).item()
        for video in (0.0, 0.5, 1.0)
    ]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


def test_two_different_frames_are_compared(segmenter, clip):
    pairs = set()
    for seed in range(8):
        segmenter.calls.clear()
        CLTC(CLTCConfig())(EncodedClip(clip, segmenter), seeded(seed))
        seen = [next(t for t in range(5) if torch.equal(call, clip.frames[:, t])) for call in segmenter.calls]
        assert len(set(seen)) == 2
        pairs.add(tuple(seen))
    assert len(pairs) > 2


def test_too_few_cells_are_refused(segmenter, clip):
    tiny = Clip(frames=clip.frames[..., :8, :16], index=clip.index)
    with pytest.raises(UsageError, match="1x2 feature cells are too few"):
        CLTC(CLTCConfig())(EncodedClip(tiny, segmenter), seeded())


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"band": 0.0}, {"too_hard": 0.6, "band": 0.5}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UsageError, match="must be"):
        CLTCConfig(**wrong)
