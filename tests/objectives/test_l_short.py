import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.l_short import LShort, LShortConfig, short_loss
from selfvos.ops.contrast import grid_points
from selfvos.ops.warp import Transform, TransformConfig, sample_transform, warp_unit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flip(batch: int, value: float = -1.0) -> Transform:
    return Transform(torch.full((batch,), value), torch.ones(batch), torch.zeros(batch), torch.zeros(batch))


def all_different(batch: int, side: int) -> torch.Tensor:
    """Unit features, orthogonal between all cells of the whole batch."""
    cells = batch * side * side
    return torch.eye(cells).view(batch, side, side, cells).permute(0, 3, 1, 2)


def test_features_that_move_with_the_picture_cost_nothing():
    neighbour = all_different(2, 4)
    points = grid_points(2, 4, 4, 4, seeded())
    assert short_loss(neighbour.flip(-1), neighbour, flip(2), points, temperature=0.05).item() < 1e-6


def test_features_that_stay_behind_are_wrong():
    neighbour = all_different(2, 4)
    outer = torch.cartesian_prod(torch.arange(4), torch.tensor([0, 3])).expand(2, -1, -1)  # too far apart to be alike
    loss = short_loss(neighbour, neighbour, flip(2), outer, temperature=0.05)
    # Score 0 of the right cell against score 1/0.05 of one wrong cell.
    assert loss.item() == pytest.approx(20, abs=1e-4)


def test_constant_features_are_lost_among_all_candidates():
    constant = functional.normalize(torch.ones(2, 3, 8, 8), dim=1)
    points = grid_points(2, 2, 8, 8, seeded())
    transform = sample_transform(2, seeded(), TransformConfig())
    loss = short_loss(constant, constant, transform, points, temperature=0.05)
    assert loss.item() == pytest.approx(math.log(8), abs=1e-4)


def test_scaled_features_match_their_warp():
    neighbour = functional.normalize(torch.randn(2, 128, 8, 8, generator=seeded()), dim=1)
    transform = sample_transform(2, seeded(), TransformConfig(min_scale=0.5, max_scale=0.6))
    points = grid_points(2, 2, 8, 8, seeded())
    right = short_loss(warp_unit(neighbour, transform), neighbour, transform, points, temperature=0.05)
    wrong = short_loss(neighbour, neighbour, transform, points, temperature=0.05)
    assert right.item() < 0.05 < wrong.item()


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_the_next_frame_only_gives_the_target_unless_told(stop_gradient, segmenter, clip):
    encoded = EncodedClip(clip, segmenter)
    key = encoded.key(1)
    key.retain_grad()
    LShort(LShortConfig(stop_gradient=stop_gradient))(encoded, seeded()).total.backward()
    assert (key.grad is None) == stop_gradient


def test_only_the_first_two_frames_are_looked_at(segmenter, clip):
    changed = clip.frames.clone()
    changed[:, 2:] = 0
    losses = [
        LShort(LShortConfig())(EncodedClip(each, segmenter), seeded()).total
        for each in (clip, replace(clip, frames=changed))
    ]
    assert torch.equal(*losses)


def test_crops_too_small_for_the_grid_are_refused(segmenter, clip):
    small = replace(clip, frames=clip.frames[..., :32, :32])
    with pytest.raises(UsageError, match="8x8 points do not fit 4x4"):
        LShort(LShortConfig())(EncodedClip(small, segmenter), seeded())


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"points_per_side": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="got 0"):
        LShortConfig(**settings)
