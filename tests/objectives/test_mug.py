import math

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.mug import MuG, MuGConfig, border_saliency, fit_affine, frame_loss, long_loss, short_loss
from selfvos.ops.contrast import grid_points
from selfvos.ops.cycles import affine_matrix, cell_positions, frame_affinity, move


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_different(side: int) -> torch.Tensor:
    return torch.eye(side**2).view(1, side, side, side**2).permute(0, 3, 1, 2)


def everywhere(side: int) -> torch.Tensor:
    return grid_points(1, side, side, side, seeded())


def test_what_no_border_shows_stands_out():
    lab = torch.zeros(2, 3, 6, 6)
    lab[0, :, 2:4, 2:5] = torch.tensor([60.0, 20.0, -10.0])[:, None, None]
    lab[1] = 25.0
    expected = torch.zeros(2, 6, 6)
    expected[0, 2:4, 2:5] = 1.0
    torch.testing.assert_close(border_saliency(lab), expected)


def test_an_object_may_touch_one_border():
    lab = torch.zeros(1, 3, 8, 8)
    lab[:, 0, :4, 3:5] = 80.0
    saliency = border_saliency(lab)[0]
    assert saliency[:4, 3:5].min() > 0.99
    assert saliency[4:].max() < 0.2


def test_the_side_that_differs_most_is_left_out():
    lab = torch.zeros(1, 3, 6, 6)
    lab[:, 0, 0], lab[:, 0, 3, 3] = 80.0, 40.0
    # From top, bottom, left and right: 0, 1, 1, 1 for the upper row; 1/2, 1/2, 2/5, 2/5 for the spot; 1, 0, 1/5, 1/5
    # elsewhere. The sums without the largest are 2, 1.3 and 0.4.
    assert border_saliency(lab)[0, 3, 3].item() == pytest.approx((1.3 - 0.4) / (2 - 0.4), rel=1e-5)


def test_the_foreground_map_by_hand():
    saliency = torch.tensor([[[0.0, 0.1], [0.3, 1.0]]])
    # Undecided everywhere: log 2, and the mean of 0.5, 0.4, 0.2 and 0.5.
    assert frame_loss(torch.zeros(1, 2, 2), saliency).item() == pytest.approx(math.log(2) + 0.4)
    sure = torch.tensor([[[-50.0, -50.0], [50.0, 50.0]]])
    assert frame_loss(sure, saliency).item() == pytest.approx((0.1 + 0.7) / 4)


@pytest.mark.parametrize("shift", [(0, 0), (1, 2)])
def test_what_is_found_again_comes_back(shift):
    frame = all_different(6)
    neighbour = frame.roll(shift, dims=(2, 3))
    assert short_loss(frame, neighbour, everywhere(6), temperature=0.02).item() < 1e-9


def test_who_finds_nothing_comes_back_to_the_middle():
    flat = torch.ones(1, 1, 4, 4)
    # Places -0.75, -0.25, 0.25 and 0.75 in x and in y: mean squares of 0.3125 each.
    assert short_loss(flat, flat, everywhere(4), temperature=0.05).item() == pytest.approx(0.625, rel=1e-5)


def test_the_motion_is_recovered_whatever_single_cells_say():
    cells = cell_positions(5, 5, like=torch.empty(0))
    truth = affine_matrix(torch.tensor([[0.2, -0.1], [0.0, 0.3]]), torch.tensor([0.3, -1.0]), 0.7)
    found = move(truth, cells)
    torch.testing.assert_close(fit_affine(cells, found, torch.rand(2, 25, generator=seeded()) + 0.1), truth)
    found[:, 7], weight = 5.0, torch.ones(2, 25)
    weight[:, 7] = 1e-7
    torch.testing.assert_close(fit_affine(cells, found, weight), truth, atol=1e-5, rtol=1e-4)


def test_matches_that_follow_one_motion_score_best():
    assert long_loss(torch.eye(16)[None], (4, 4)).item() == pytest.approx(-1.0, abs=1e-5)
    upside_down = torch.eye(16).flip(0)[None]
    assert long_loss(upside_down, (4, 4)).item() == pytest.approx(-1.0, abs=1e-5)
    assert long_loss(torch.full((1, 16, 16), 1 / 16), (4, 4)).item() == pytest.approx(-1 / 16, rel=1e-4)
    scattered = torch.eye(16)[:, torch.randperm(16, generator=seeded())][None]
    assert long_loss(scattered, (4, 4)).item() > -0.5


def test_cells_that_match_nothing_hardly_bend_the_motion():
    affinity = torch.eye(36)[None].clone()
    affinity[:, :, 30:] = 1 / 36  # the last row
    straight = -(30 + 6 / 36) / 36
    assert long_loss(affinity, (6, 6)).item() == pytest.approx(straight, abs=0.08)


def test_videos_that_look_alike_cannot_be_told_apart(segmenter, clip):
    for weight in segmenter.parameters():
        torch.nn.init.ones_(weight)
    objective = MuG(MuGConfig())
    with torch.no_grad():
        objective.whole.weight.zero_()
        objective.whole.bias.fill_(1.0)
    parts = objective(EncodedClip(clip, segmenter), seeded()).parts
    assert parts["video"].item() == pytest.approx(math.log(2), abs=1e-5)


def test_three_plain_frames_are_encoded_and_both_heads_learn(segmenter, clip):
    encoded = EncodedClip(clip, segmenter)
    objective = MuG(MuGConfig())
    objective(encoded, seeded()).total.backward()
    numbers = [next(t for t in range(5) if torch.equal(call, clip.frames[:, t])) for call in segmenter.calls]
    assert sorted(numbers)[:2] == [0, 1]
    assert numbers[2] >= 2
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in objective.parameters())


def test_two_frames_are_enough(segmenter, clip):
    pair = type(clip)(frames=clip.frames[:, :2], index=clip.index[:, :2])
    terms = MuG(MuGConfig())(EncodedClip(pair, segmenter), seeded())
    first, second = (functional.normalize(segmenter.encode_frame(pair.frames[:, t]).base, dim=1) for t in range(2))
    either_way = [
        long_loss(frame_affinity(*both, temperature=0.05), (16, 16)).item()
        for both in ((first, second), (second, first))
    ]
    assert any(terms.parts["long"].item() == pytest.approx(loss, rel=1e-5) for loss in either_way)


def test_another_width_is_refused_or_set(segmenter, clip):
    with pytest.raises(UsageError, match="set feature_channels=256"):
        MuG(MuGConfig(feature="layer3"))(EncodedClip(clip, segmenter), seeded())
    terms = MuG(MuGConfig(feature="layer3", feature_channels=256))(EncodedClip(clip, segmenter), seeded())
    assert terms.total.isfinite()


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"feature_channels": 0}, {"points_per_side": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="must be"):
        MuGConfig(**settings)
