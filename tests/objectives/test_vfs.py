import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.vfs import VFS, VFSConfig, make_views, view_loss
from selfvos.ops.warp import TransformConfig
from selfvos.types import Clip

WHOLE = TransformConfig(min_scale=1.0, flip_probability=0.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(**settings) -> VFS:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VFS(VFSConfig(**settings))


@pytest.mark.parametrize(("frames", "published"), [(4, 1.822028), (1, 2.216109)])
def test_the_loss_is_that_of_the_authors_public_code(frames, published):
    """What the authors' public code gives for two groups of so many frames; it minimises 2 + 2 times ours."""
    generator = seeded()
    z1, p1, z2, p2 = (torch.randn(3, frames, 6, generator=generator) for _ in range(4))
    assert (2 + view_loss(p1, z2) + view_loss(p2, z1)).item() == pytest.approx(published, rel=2e-6)


def test_the_loss_is_the_mean_negative_cosine_of_all_pairs():
    predictions = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
    targets = torch.tensor([[[3.0, 4.0], [-1.0, 0.0]]])
    # (1,0): 0.6 and -1; (0,1): 0.8 and 0
    assert view_loss(predictions, targets).item() == pytest.approx(-(0.6 - 1 + 0.8 + 0) / 4, abs=1e-6)
    assert view_loss(targets[:, :1], targets[:, :1]).item() == pytest.approx(-1, abs=1e-6)


def test_targets_receive_no_gradient():
    predictions, targets = torch.randn(2, 3, 4, generator=seeded()), torch.randn(2, 2, 4, generator=seeded(1))
    view_loss(predictions.requires_grad_(), targets.requires_grad_()).backward()
    assert predictions.grad is not None
    assert predictions.grad.abs().sum() > 0
    assert targets.grad is None


def test_without_heads_it_is_the_likeness_of_mean_features(segmenter, clip):
    objective = build(view=WHOLE, group_frames=1)
    objective.projector, objective.predictor = nn.Identity(), nn.Identity()
    pair = Clip(frames=clip.frames[:, :2], index=clip.index[:, :2])
    terms = objective(EncodedClip(pair, segmenter), seeded())
    means = [segmenter.encode_frame(clip.frames[:, t]).base.mean(dim=(2, 3)) for t in range(2)]
    torch.testing.assert_close(terms.total, -functional.cosine_similarity(*means).mean())


def test_two_groups_of_different_frames_are_drawn(segmenter, clip):
    groups = set()
    for seed in range(6):
        segmenter.calls.clear()
        build(view=WHOLE, group_frames=2)(EncodedClip(clip, segmenter), seeded(seed))
        seen = [call.unflatten(0, (2, 2))[0] for call in segmenter.calls]
        found = [
            min(range(5), key=lambda t: (frame - clip.frames[0, t]).abs().max().item())
            for group in seen
            for frame in group
        ]
        assert len(set(found)) == 4
        groups.add(tuple(found))
    assert len(groups) > 1


def test_short_clips_have_smaller_groups(segmenter, clip):
    build()(EncodedClip(clip, segmenter), seeded())
    assert [len(call) for call in segmenter.calls] == [2 * 2, 2 * 2]


def test_views_are_no_larger_than_the_frame():
    images = torch.rand(3, 3, 64, 96, generator=seeded())
    assert make_views(images, 224, WHOLE, seeded()).shape == (3, 3, 64, 64)
    assert make_views(images, 48, WHOLE, seeded()).shape == (3, 3, 48, 48)


def test_a_whole_view_shows_the_whole_image():
    square = torch.rand(2, 3, 32, 32, generator=seeded())
    torch.testing.assert_close(make_views(square, 224, WHOLE, seeded()), square, atol=1e-5, rtol=0)
    half = functional.avg_pool2d(square, 2)
    torch.testing.assert_close(make_views(square, 16, WHOLE, seeded()), half, atol=1e-5, rtol=0)


def test_every_frame_is_cropped_on_its_own():
    image = torch.rand(1, 3, 64, 64, generator=seeded()).expand(2, -1, -1, -1)
    first, second = make_views(image, 64, VFSConfig().view, seeded())
    assert (first - second).abs().max() > 0.1


def test_scoring_leaves_no_trace(segmenter, clip):
    objective = build()
    before = copy.deepcopy(objective.state_dict())
    objective(EncodedClip(clip, segmenter), seeded())
    assert all(torch.equal(before[name], value) for name, value in objective.state_dict().items())


def test_the_heads_have_three_and_two_layers():
    objective = build(feature_channels=256, projection_channels=64, predictor_channels=16)
    shapes = [tuple(p.shape) for p in objective.parameters() if p.ndim == 2]
    assert shapes == [(64, 256), (64, 64), (64, 64), (16, 64), (64, 16)]


def test_a_batch_of_one_pair_is_refused(segmenter, clip):
    pair = Clip(frames=clip.frames[:1, :2], index=clip.index[:1, :2])
    with pytest.raises(UsageError, match="batch_clips=2"):
        build()(EncodedClip(pair, segmenter), seeded())


def test_a_feature_of_another_width_is_refused(segmenter, clip):
    with pytest.raises(UsageError, match="set feature_channels=512"):
        build(feature_channels=256)(EncodedClip(clip, segmenter), seeded())


def test_impossible_settings_are_refused():
    with pytest.raises(UsageError, match="must be"):
        VFSConfig(group_frames=0)
