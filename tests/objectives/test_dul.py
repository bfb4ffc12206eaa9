import math

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.dul import DUL, DULConfig, pseudo_labels, temporal_loss
from selfvos.ops.contrast import gather_points, info_nce
from selfvos.ops.warp import Transform, TransformConfig, sample_transform, warp, warp_unit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(*shape: int, dim: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(7)), dim=dim)


def lattice(rows: tuple[int, ...], columns: tuple[int, ...]) -> torch.Tensor:
    return torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns)).expand(2, -1, -1)


def test_both_terms_are_those_of_the_authors_public_code():
    """What the authors' public code gives for two views of two clips, flipped, scaled and moved by nearest cells."""
    views = functional.normalize(torch.randn(2, 6, 8, 8, 8, generator=seeded()), dim=2)
    first, second = views[:, :3], views[:, 3:]
    moves = [[1.0, -1.0], [0.7, 0.55], [0.2, -0.3], [-0.25, 0.4]]
    transform = Transform(*(torch.tensor(move) for move in moves))
    anchors = gather_points(first[:, 0], lattice((1, 3, 5, 7), (0, 2, 4, 6)))
    later = warp(first[:, 1:].flatten(1, 2), transform, mode="nearest").unflatten(1, (2, -1))
    temporal = temporal_loss(anchors, later, pseudo_labels(anchors, second[:, 1:]), temperature=0.05)
    points = lattice((2, 6), (1, 5))
    seen = warp_unit(first[:, 0], transform, mode="nearest")
    reference = info_nce(gather_points(seen, points), gather_points(second[:, 0], points), temperature=0.05)
    assert temporal.item() == pytest.approx(14.403369, rel=2e-6)
    assert reference.item() == pytest.approx(7.389486, rel=2e-6)
    total = temporal + DULConfig().reference_weight * reference
    assert total.item() == pytest.approx(15.142318, rel=2e-6)


def test_labels_are_the_nearest_anchors_of_the_own_clip():
    anchors = torch.eye(6).view(2, 3, 6)
    view = torch.zeros(2, 1, 6, 1, 2)
    view[0, 0, 2, 0, 0] = 1.0  # anchor 2 of clip 0
    view[0, 0, 4, 0, 1] = 1.0  # an anchor of clip 1 seen in clip 0 ...
    view[0, 0, 1, 0, 1] = 0.1  # ... loses against the faintest likeness to its own
    view[1, 0, 5, 0, :] = 1.0
    assert pseudo_labels(anchors, view)[:, 0, 0].tolist() == [[2, 1], [5, 5]]


def test_cells_sure_of_the_right_anchor_cost_nothing_and_lost_ones_log_n():
    anchors = torch.eye(8).view(2, 4, 8)
    labels = torch.tensor([0, 3, 4, 7]).view(2, 1, 1, 2)
    sure = torch.eye(8)[labels].permute(0, 1, 4, 2, 3)
    assert temporal_loss(anchors, sure, labels, temperature=0.05).item() < 1e-6
    lost = torch.full_like(sure, 8**-0.5)
    assert temporal_loss(anchors, lost, labels, temperature=0.05).item() == pytest.approx(math.log(8), abs=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_warping_features_equals_warping_scores(mode):
    """The published order: scores against all anchors first, moved into the second view's geometry after."""
    anchors, first, second = unit(2, 4, 16, dim=-1), unit(2, 3, 16, 6, 6, dim=2), unit(2, 3, 16, 6, 6, dim=2).flip(1)
    transform, temperature = sample_transform(2, seeded(), TransformConfig()), 0.1
    labels = pseudo_labels(anchors, second)
    losses = []
    for t in range(3):
        scores = torch.einsum("nc,bchw->bnhw", anchors.flatten(0, 1), first[:, t]) / temperature
        losses.append(functional.cross_entropy(warp(scores, transform, mode=mode), labels[:, t]))
    moved = warp(first.flatten(1, 2), transform, mode=mode).unflatten(1, (3, 16))
    measured = temporal_loss(anchors, moved, labels, temperature=temperature)
    torch.testing.assert_close(measured, torch.stack(losses).mean())


def test_labels_teach_nothing_to_the_second_view():
    anchors, view = unit(2, 4, 8, dim=-1).requires_grad_(), unit(2, 1, 8, 3, 3, dim=2).requires_grad_()
    assert not pseudo_labels(anchors, view).requires_grad
    temporal_loss(anchors, view, pseudo_labels(anchors, view), temperature=0.1).backward()
    assert anchors.grad is not None
    assert view.grad is not None


def test_gradient_flows_through_the_first_view_and_one_frame_of_the_second(segmenter, clip):
    gradients = []
    plain_encode = segmenter.encode_frame

    def encode(frames):
        gradients.append((len(frames), torch.is_grad_enabled()))
        return plain_encode(frames)

    segmenter.encode_frame = encode
    DUL(DULConfig())(EncodedClip(clip, segmenter), seeded())
    assert gradients == [(2 * 5 + 2, True), (2 * 4, False)]


def test_frames_come_in_random_order_for_each_clip(segmenter, clip):
    def order(seed: int) -> list[list[int]]:
        segmenter.calls.clear()
        DUL(DULConfig())(EncodedClip(clip, segmenter), seeded(seed))
        seen = segmenter.calls[0][:10].unflatten(0, (2, 5))
        return [
            [next(t for t in range(5) if torch.equal(frame, clip.frames[b, t])) for frame in seen[b]] for b in range(2)
        ]

    orders = [order(seed) for seed in range(6)]
    assert all(sorted(each) == list(range(5)) for pair in orders for each in pair)
    assert any(first != second for first, second in orders)
    assert len({tuple(pair[0]) for pair in orders}) > 1


def test_the_second_view_is_the_same_for_all_frames_of_a_clip(segmenter, clip):
    config = DULConfig(transform=TransformConfig(min_scale=1.0, flip_probability=1.0))
    DUL(config)(EncodedClip(clip, segmenter), seeded())
    learned, fixed = segmenter.calls
    plain, second_first = learned[:10].unflatten(0, (2, 5)), learned[10:]
    second = torch.cat([second_first[:, None], fixed.unflatten(0, (2, 4))], dim=1)
    torch.testing.assert_close(second, plain.flip(-1), atol=1e-5, rtol=0)


def test_a_still_clip_with_telling_features_is_learned(segmenter, clip):
    """Identical frames and no transform: each cell picks in view 1 what it picks in view 2."""
    still = Transform(torch.ones(2), torch.ones(2), torch.zeros(2), torch.zeros(2))
    key = functional.normalize(torch.eye(32).view(2, 4, 4, 32).permute(0, 3, 1, 2), dim=1)
    anchors = key.flatten(2).mT
    view = key[:, None].expand(2, 4, -1, -1, -1)
    moved = warp(view.flatten(1, 2), still, mode="nearest").unflatten(1, (4, 32))
    assert temporal_loss(anchors, moved, pseudo_labels(anchors, view), temperature=0.05).item() < 1e-6


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"anchors_per_side": 0}, {"reference_per_side": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="must be"):
        DULConfig(**settings)
