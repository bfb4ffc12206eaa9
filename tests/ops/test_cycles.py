import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfvos.errors import UsageError
from selfvos.ops.cycles import (
    affine_matrix,
    cell_positions,
    cut,
    expected_positions,
    feature_map,
    frame_affinity,
    move,
    random_boxes,
    transport,
    weight_at,
)
from selfvos.ops.warp import TransformConfig, sample_transform, theta, warp
from selfvos.types import FrameFeatures


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_different(side: int) -> torch.Tensor:
    """One clip's features, each cell with a channel of its own."""
    return torch.eye(side * side).view(1, side, side, side * side).permute(0, 3, 1, 2)


def box(x: float, y: float, scale: float, degrees: float = 0.0) -> torch.Tensor:
    return affine_matrix(torch.tensor([[x, y]]), torch.tensor([math.radians(degrees)]), scale)


def test_features_go_by_name_and_come_in_float32():
    maps = {name: torch.rand(1, 2, 3, 3) for name in ("key", "base", "layer3")}
    features = FrameFeatures(key=maps["key"], base=maps["base"].bfloat16(), stages={"layer3": maps["layer3"]})
    assert torch.equal(feature_map(features, "key"), maps["key"])
    assert torch.equal(feature_map(features, "layer3"), maps["layer3"])
    assert feature_map(features, "base").dtype == torch.float32
    with pytest.raises(UsageError, match="unknown feature 'layer9'; this network has key, base, layer3"):
        feature_map(features, "layer9")


def test_positions_are_cell_centres_row_by_row():
    positions = cell_positions(2, 4, like=torch.empty(0))
    assert positions[:4].tolist() == [[-0.75, -0.5], [-0.25, -0.5], [0.25, -0.5], [0.75, -0.5]]
    assert positions[4].tolist() == [-0.75, 0.5]


def test_a_shifted_frame_is_expected_at_the_shift():
    memory = all_different(8)
    query = memory.roll((-1, -2), dims=(2, 3))  # what is at row r, column c here is at r + 1, c + 2 there
    affinity = frame_affinity(query, memory, temperature=0.01)
    cells = cell_positions(8, 8, like=memory)
    shift = (expected_positions(affinity, cells)[0] - cells).view(8, 8, 2)[:7, :6]
    torch.testing.assert_close(shift, torch.tensor([2 * 2 / 8, 1 * 2 / 8]).expand(7, 6, 2))


def test_affinity_sums_to_one_and_autocast_does_not_blur_it():
    query, memory = torch.randn(2, 16, 3, 4, generator=seeded()), torch.randn(2, 16, 5, 2, generator=seeded(1))
    affinity = frame_affinity(query, memory, temperature=0.1)
    assert affinity.shape == (2, 10, 12)
    torch.testing.assert_close(affinity.sum(dim=1), torch.ones(2, 12))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(frame_affinity(query, memory, temperature=0.1), affinity)
        carried = transport(affinity, memory, (3, 4))
    torch.testing.assert_close(carried.flatten(2), memory.flatten(2) @ affinity)


def test_a_box_lies_where_it_is_put():
    matrix = box(0.5, -0.25, 0.5, degrees=90)
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    expected = torch.tensor([[[0.5, -0.25], [0.5, 0.25], [0.0, -0.25]]])
    torch.testing.assert_close(move(matrix, corners), expected)


def test_a_box_on_whole_pixels_is_a_slice_also_under_autocast():
    picture = torch.rand(1, 3, 16, 16, generator=seeded())
    quarter = box(-0.25, 0.5, 0.5)  # columns 2 to 9, rows 8 to 15
    torch.testing.assert_close(cut(picture, quarter, (8, 8)), picture[:, :, 8:, 2:10])
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(cut(picture, quarter, (8, 8)), picture[:, :, 8:, 2:10])
    assert cut(picture, box(2.0, 0.0, 0.5), (8, 8)).abs().sum() == 0


def test_cutting_agrees_with_warping():
    """Away from the edges of the picture, where one repeats the edge and the other shows zero."""
    picture = torch.rand(4, 2, 20, 20, generator=seeded())
    transform = sample_transform(4, seeded(3), TransformConfig(max_scale=0.8, flip_probability=0.0))
    ours, theirs = cut(picture, theta(transform), (20, 20)), warp(picture, transform)
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(scale=st.floats(0.05, 1.0), seed=st.integers(0, 1000))
def test_boxes_that_are_not_turned_stay_inside(scale, seed):
    boxes = random_boxes(6, scale, max_angle_degrees=0.0, generator=seeded(seed))
    corners = move(boxes, torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
    assert corners.abs().max() <= 1 + 1e-5
    torch.testing.assert_close(corners[:, 1] - corners[:, 0], torch.full((6, 2), 2 * scale))
    assert torch.equal(boxes, random_boxes(6, scale, max_angle_degrees=0.0, generator=seeded(seed)))


def test_boxes_turn_as_far_as_they_may():
    boxes = random_boxes(500, 0.5, max_angle_degrees=30.0, generator=seeded())
    degrees = torch.rad2deg(torch.atan2(boxes[:, 1, 0], boxes[:, 0, 0]))
    assert degrees.abs().max() <= 30
    assert degrees.min() < -25
    assert degrees.max() > 25


def test_weights_are_read_at_and_between_cells():
    affinity = torch.tensor([[[0.1], [0.2], [0.3], [0.4]]])  # one query cell, 2x2 memory cells
    for x, y, expected in ((-0.5, -0.5, 0.1), (0.5, 0.5, 0.4), (0.0, -0.5, 0.15), (0.0, 0.0, 0.25), (3.0, 0.0, 0.0)):
        found = weight_at(affinity, torch.tensor([[[x, y]]]), (2, 2))
        assert found.item() == pytest.approx(expected, abs=1e-6)


def test_gradients_reach_affinities_places_and_boxes():
    # A box off the cell centres: bilinear sampling has kinks on them.
    matrix = box(0.11, -0.07, 0.31, degrees=13).requires_grad_()
    features = torch.randn(1, 2, 5, 5, generator=seeded(), requires_grad=True)
    affinity = torch.rand(1, 25, 4, generator=seeded(1)).softmax(dim=1).requires_grad_()
    loss = cut(features, matrix, (2, 2)).square().sum()
    loss = loss + weight_at(affinity, move(matrix, cell_positions(2, 2, like=matrix)), (5, 5)).square().sum()
    loss.backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in (matrix, features, affinity))
