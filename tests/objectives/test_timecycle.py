import math

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.timecycle import (
    BoxRegressor,
    TimeCycle,
    TimeCycleConfig,
    alignment_loss,
    cycle_loss,
    moving_boxes,
    similarity_loss,
    skip_losses,
)
from selfvos.ops.cycles import affine_matrix, cell_positions, cut, expected_positions, move

SIDE = 9


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_different() -> torch.Tensor:
    return torch.eye(SIDE**2).view(1, SIDE, SIDE, SIDE**2).permute(0, 3, 1, 2)


def box(x: float, y: float, degrees: float = 0.0) -> torch.Tensor:
    return affine_matrix(torch.tensor([[x, y]]), torch.tensor([math.radians(degrees)]), 1 / 3)


def oracle(affinity: torch.Tensor) -> torch.Tensor:
    """Find the box that is a third of the frame around all matches."""
    found = expected_positions(affinity, cell_positions(SIDE, SIDE, like=affinity)).mean(dim=1)
    return affine_matrix(found, torch.zeros(len(found)), 1 / 3)


def middle(affinity: torch.Tensor) -> torch.Tensor:
    return box(0.0, 0.0).expand(len(affinity), -1, -1)


def start(frames: list[torch.Tensor], truth: torch.Tensor) -> torch.Tensor:
    return functional.normalize(cut(frames[-1], truth, (3, 3)), dim=1)


def test_alignment_is_that_of_the_authors_public_code():
    """What the authors' public code gives for two turned boxes against the same in reverse order."""
    boxes = affine_matrix(torch.tensor([[0.2, -0.3], [-0.5, 0.1]]), torch.tensor([0.4, -0.2]), 1 / 3)
    assert alignment_loss(boxes, boxes.flip(0)).item() == pytest.approx(0.678600, rel=2e-6)


def test_alignment_is_the_squared_distance_of_the_boxes():
    assert alignment_loss(box(0.2, -0.1, 20.0), box(0.2, -0.1, 20.0)).item() == 0
    assert alignment_loss(box(0.3, 0.4), box(0.0, 0.0)).item() == pytest.approx(0.25, abs=1e-6)
    # Half a turn moves each point to its opposite: twice its distance from the centre, squared.
    points = torch.linspace(-1, 1, 20).square().mean().item()
    assert alignment_loss(box(0.0, 0.0, 180.0), box(0.0, 0.0)).item() == pytest.approx(8 * points / 9, rel=1e-5)


def test_similarity_counts_the_affinity_along_the_box():
    cells = torch.arange(SIDE**2).view(SIDE, SIDE)
    affinity = functional.one_hot(cells[3:6, 1:4].flatten(), SIDE**2).float().mT[None]
    there = box((2.5 * 2) / SIDE - 1, 0.0)
    assert similarity_loss(affinity, there, (SIDE, SIDE), (3, 3)).item() == pytest.approx(-1.0, abs=1e-5)
    beside = box((5.5 * 2) / SIDE - 1, 0.0)
    assert similarity_loss(affinity, beside, (SIDE, SIDE), (3, 3)).item() == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("columns_a_frame", [0, 1])
def test_what_is_tracked_well_closes_every_cycle(columns_a_frame):
    """A still clip, and one that moves a column a frame."""
    frames = [all_different().roll(columns_a_frame * t, dims=3) for t in range(4)]
    truth = box(2 / SIDE, -2 / SIDE)
    patch = start(frames, truth)
    assert cycle_loss(frames, patch, truth, oracle, temperature=0.01).item() < 1e-9
    aligned, similar = skip_losses(frames, patch, truth, oracle, temperature=0.01)
    assert aligned.item() < 1e-9
    assert similar.item() == pytest.approx(-1.0, abs=1e-4)


def test_who_never_moves_pays_for_the_distance():
    frames = [all_different()] * 3
    truth = box(0.5, 0.25)
    expected = 0.5**2 + 0.25**2
    patch = start(frames, truth)
    cycle = cycle_loss(frames, patch, truth, middle, temperature=0.01)
    skip, _ = skip_losses(frames, patch, truth, middle, temperature=0.01)
    assert cycle.item() == pytest.approx(expected, rel=1e-5)
    assert skip.item() == pytest.approx(expected, rel=1e-5)


def test_who_is_led_astray_once_stays_astray():
    """What was found is looked for next, not the patch of the beginning."""
    frames, truth = [all_different()] * 3, box(0.0, 0.0)
    patch, aside = start(frames, truth), torch.tensor([2 / SIDE, 0.0])
    led = []

    def locate(affinity: torch.Tensor) -> torch.Tensor:
        led.append(0)
        found = oracle(affinity)
        found[:, :, 2] += aside * (len(led) in astray)
        return found

    astray = {1}  # the first step back
    cycle = cycle_loss(frames, patch, truth, locate, temperature=0.01)
    assert cycle.item() == pytest.approx((2 / SIDE) ** 2, rel=1e-3)
    led.clear()
    astray = {1, 3}  # both ways there; those home are right
    skip, _ = skip_losses(frames, patch, truth, locate, temperature=0.01)
    assert skip.item() == pytest.approx((2 / SIDE) ** 2, rel=1e-3)


def test_cycles_of_all_lengths_are_walked_there_and_back():
    """Of t frames: t - 1 steps back, and from each of them forward to the last frame again."""
    seen = []

    def locate(affinity: torch.Tensor) -> torch.Tensor:
        seen.append(affinity.argmax(dim=1)[0, 4].item())  # where the patch's middle cell is
        return oracle(affinity)

    frames = [all_different().roll(t, dims=3) for t in range(4)]
    cycle_loss(frames, start(frames, box(0.0, 0.0)), box(0.0, 0.0), locate, temperature=0.01)
    column = [cell % SIDE for cell in seen]
    assert column == [3, 4, 2, 3, 4, 1, 2, 3, 4]


def test_patches_are_taken_where_something_moves():
    before = torch.rand(40, 3, 63, 63, generator=seeded())
    frame = before.clone()
    frame[:, :, 35:42, 21:28] += 0.5  # row 5, column 3 of 9x9
    boxes = moving_boxes(frame, before, max_angle_degrees=0.0, generator=seeded())
    assert boxes[:, 0, 0].tolist() == pytest.approx([1 / 3] * 40)
    # Nine of the ten candidates show the spot, the tenth is a tie of all others.
    from_spot = (boxes[:, :, 2] - torch.tensor([7 / 9 - 1, 11 / 9 - 1])).abs().amax(dim=1)
    assert (from_spot <= 1 / 3 + 1e-5).float().mean() > 0.75
    assert move(boxes, torch.tensor([[-1.0, -1.0], [1.0, 1.0]])).abs().max() <= 1 + 1e-5


def test_patches_turn_and_follow_the_generator():
    frame, before = torch.rand(2, 100, 3, 36, 36, generator=seeded()).unbind()
    draw = [moving_boxes(frame, before, max_angle_degrees=45.0, generator=seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    degrees = torch.rad2deg(torch.atan2(draw[0][:, 1, 0], draw[0][:, 0, 0]))
    assert 35 < degrees.abs().max() <= 45


def test_the_regressor_begins_near_the_middle_with_a_third_of_the_frame():
    regressor = BoxRegressor(30)
    boxes = regressor(torch.rand(3, 900, 100, generator=seeded()).softmax(dim=1))
    torch.testing.assert_close(boxes[:, :, :2].norm(dim=1), torch.full((3, 2), 1 / 3))
    assert boxes[:, :, 2].abs().max() < 0.1


def test_plain_frames_are_shared_and_the_patch_is_encoded_on_its_own(segmenter, clip):
    encoded = EncodedClip(clip, segmenter)
    objective = TimeCycle(TimeCycleConfig())
    objective(encoded, seeded()).total.backward()
    sizes = sorted(call.shape[-1] for call in segmenter.calls)
    assert sizes == [40, 128, 128, 128, 128, 128]
    assert encoded.features(4) is encoded.features(4)
    assert len(segmenter.calls) == 6
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in objective.parameters())


@pytest.mark.parametrize("feature", ["key", "layer1"])
def test_any_feature_can_be_learned(segmenter, clip, feature):
    """What lies above the feature learns nothing, the feature's own layer does."""
    objective = TimeCycle(TimeCycleConfig(feature=feature, frame_cells=21))
    objective(EncodedClip(clip, segmenter), seeded()).total.backward()
    own = {"key": segmenter.head, "layer1": segmenter.layer1}[feature].weight
    assert own.grad.isfinite().all()
    assert own.grad.abs().sum() > 0
    assert (segmenter.layer2.weight.grad is None) == (feature == "layer1")


def test_an_unknown_feature_is_refused(segmenter, clip):
    with pytest.raises(UsageError, match="unknown feature"):
        TimeCycle(TimeCycleConfig(feature="layer7"))(EncodedClip(clip, segmenter), seeded())


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"frame_cells": 31}, {"frame_cells": 18}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="must be"):
        TimeCycleConfig(**settings)
