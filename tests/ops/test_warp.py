import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.ops.warp import (
    CropConfig,
    Transform,
    TransformConfig,
    crop,
    crop_labels,
    inverse,
    sample_crop,
    sample_transform,
    theta,
    warp,
    warp_unit,
)


def transform(flip=1.0, scale=1.0, tx=0.0, ty=0.0, batch=2) -> Transform:
    return Transform(*(torch.full((batch,), float(value)) for value in (flip, scale, tx, ty)))


def box(top: int, left: int, side: int, of: int, flip=1.0, batch=2) -> Transform:
    return transform(flip, side / of, (2 * left + side) / of - 1, (2 * top + side) / of - 1, batch)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(rows: int, columns: int) -> torch.Tensor:
    """A wave, slow against the pixel grid, given by a formula in fractions of the picture."""
    y = (torch.arange(rows) + 0.5) / rows
    x = (torch.arange(columns) + 0.5) / columns
    return (torch.sin(2 * x)[None] + torch.cos(2 * y)[:, None]).expand(2, 1, rows, columns)


def test_the_identity_changes_nothing():
    images = torch.rand(2, 3, 24, 32)
    for mode in ("bilinear", "nearest"):
        torch.testing.assert_close(warp(images, transform(), mode=mode), images, atol=3e-6, rtol=0)


def test_a_flip_mirrors_columns():
    images = torch.rand(2, 3, 24, 32)
    torch.testing.assert_close(warp(images, transform(flip=-1)), images.flip(-1), atol=1e-6, rtol=0)


def test_samples_have_their_own_transform():
    images = torch.rand(2, 3, 16, 16)
    flip = Transform(torch.tensor([1.0, -1.0]), torch.ones(2), torch.zeros(2), torch.zeros(2))
    warped = warp(images, flip)
    torch.testing.assert_close(warped[0], images[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(warped[1], images[1].flip(-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_crop_of_whole_cells_is_a_slice(mode):
    images = torch.rand(2, 3, 32, 32)
    cut = images[..., 4:20, 9:25]
    torch.testing.assert_close(warp(images, box(4, 9, 16, 32), mode=mode, size=(16, 16)), cut, atol=1e-5, rtol=0)
    mirrored = warp(images, box(4, 9, 16, 32, flip=-1), mode=mode, size=(16, 16))
    torch.testing.assert_close(mirrored, cut.flip(-1), atol=1e-5, rtol=0)


def test_nearest_enlarges_by_repeating():
    images = torch.rand(2, 3, 8, 8)
    expected = images[..., 2:6, 0:4].repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.equal(warp(images, box(2, 0, 4, 8), mode="nearest"), expected)


def test_theta_is_the_matrix_of_the_crop_box():
    matrix = theta(box(4, 8, 16, 32, flip=-1, batch=1))
    expected = torch.tensor([[[-0.5, 0.0, (2 * 8 + 16) / 32 - 1], [0.0, 0.5, (2 * 4 + 16) / 32 - 1]]])
    torch.testing.assert_close(matrix, expected)


def test_edges_are_not_darkened():
    corner = box(0, 0, 10, 32)
    assert torch.allclose(warp(torch.ones(2, 1, 32, 32), corner), torch.ones(1))
    assert torch.allclose(warp(torch.ones(2, 1, 32, 32), inverse(corner)), torch.ones(1))


@settings(deadline=None, max_examples=40)
@given(flip=st.sampled_from([1.0, -1.0]), scale=st.floats(0.5, 1), u=st.floats(-1, 1), v=st.floats(-1, 1))
def test_the_inverse_undoes_the_transform(flip, scale, u, v):
    there = transform(flip, scale, u * (1 - scale), v * (1 - scale))
    back = inverse(there)
    row = torch.tensor([[[0.0, 0.0, 1.0]]]).expand(2, 1, 3)
    product = torch.cat([theta(there), row], 1) @ torch.cat([theta(back), row], 1)
    torch.testing.assert_close(product, torch.eye(3).expand(2, 3, 3), atol=1e-5, rtol=0)


def test_the_inverse_recovers_what_the_crop_had_seen():
    image, there = smooth(64, 64), box(16, 24, 32, 64, flip=-1)
    again = warp(warp(image, there), inverse(there))
    inside = (..., slice(18, 46), slice(26, 54))
    torch.testing.assert_close(again[inside], image[inside], atol=2e-3, rtol=0)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000))
def test_image_and_feature_map_show_the_same_place(seed):
    there = sample_transform(2, seeded(seed), TransformConfig())
    image = smooth(64, 64)
    pooled_last = functional.avg_pool2d(warp(image, there), 8)
    pooled_first = warp(functional.avg_pool2d(image, 8), there)
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(pooled_last[inside], pooled_first[inside], atol=0.025, rtol=0)


def test_unit_features_stay_unit_and_mix():
    features = functional.normalize(torch.randn(2, 5, 8, 8), dim=1)
    tilted = transform(scale=0.7, tx=0.1)
    assert (warp(features, tilted).norm(dim=1) < 0.99).any()
    torch.testing.assert_close(warp_unit(features, tilted).norm(dim=1), torch.ones(2, 8, 8))


def test_half_precision_keeps_its_type_and_its_positions():
    images = torch.rand(2, 1, 256, 256)
    cut = warp(images.bfloat16(), box(100, 101, 64, 256), size=(64, 64))
    assert cut.dtype == torch.bfloat16
    torch.testing.assert_close(cut.float(), images[..., 100:164, 101:165], atol=0.01, rtol=0)


def test_gradient_passes_through():
    features = torch.rand(2, 3, 8, 8, requires_grad=True)
    warp_unit(features, transform(scale=0.6))[:, 0].sum().backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0


def test_drawn_transforms_stay_inside_and_fill_their_ranges():
    drawn = sample_transform(2000, seeded(), TransformConfig(min_scale=0.4, max_scale=0.9, flip_probability=0.25))
    assert (drawn.tx.abs() <= 1 - drawn.scale).all()
    assert (drawn.ty.abs() <= 1 - drawn.scale).all()
    assert drawn.scale.min() == pytest.approx(0.4, abs=0.01)
    assert drawn.scale.max() == pytest.approx(0.9, abs=0.01)
    assert drawn.tx.mean() == pytest.approx(0, abs=0.03)
    assert (drawn.flip == -1).float().mean() == pytest.approx(0.25, abs=0.04)
    assert drawn.flip.abs().eq(1).all()


def test_the_generator_decides():
    one, same, other = (sample_transform(4, seeded(seed), TransformConfig()) for seed in (1, 1, 2))
    assert torch.equal(theta(one), theta(same))
    assert not torch.equal(theta(one), theta(other))


@pytest.mark.parametrize(
    "wrong",
    [{"min_scale": 0.0}, {"min_scale": 0.9, "max_scale": 0.8}, {"max_scale": 1.2}, {"flip_probability": 1.5}],
)
def test_impossible_transforms_are_refused(wrong):
    with pytest.raises(UsageError, match="got"):
        TransformConfig(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"min_short_side": 0.9}, {"min_short_side": 1.5}, {"max_short_side": math.nan}, {"flip_probability": -0.1}],
)
def test_impossible_crops_are_refused(wrong):
    with pytest.raises(UsageError, match="got"):
        CropConfig(**wrong)


def test_a_crop_without_size_is_refused():
    with pytest.raises(UsageError, match="positive"):
        sample_crop(1, 480, 854, 0, seeded(), CropConfig())


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 500), width=st.integers(1, 500), seed=st.integers(0, 100))
def test_drawn_crops_stay_inside_and_keep_the_aspect(height, width, seed):
    matrix = sample_crop(8, height, width, 64, seeded(seed), CropConfig())
    share_x, share_y = matrix[:, 0, 0].abs(), matrix[:, 1, 1]
    assert (share_x + matrix[:, 0, 2].abs() <= 1 + 1e-6).all()
    assert (share_y + matrix[:, 1, 2].abs() <= 1 + 1e-6).all()
    torch.testing.assert_close(share_x * width, share_y * height)
    zoom = min(height, width) / (share_y * height)  # short side after resizing, in crop sides
    assert (zoom >= 1 - 1e-5).all()
    assert (zoom <= 1.25 + 1e-5).all()


def test_all_frames_of_a_clip_and_its_labels_get_the_same_crop():
    frames = torch.rand(1, 3, 3, 40, 60)
    labels = torch.randint(0, 300, (1, 3, 40, 60))
    matrix = theta(Transform(*torch.tensor([[-1.0], [1.0], [0.0], [0.0]])))
    matrix[0, 0, 0] *= 20 / 60
    matrix[0, 0, 2] = (2 * 30 + 20) / 60 - 1
    matrix[0, 1, 1] *= 20 / 40
    matrix[0, 1, 2] = (2 * 10 + 20) / 40 - 1
    seen = crop(frames, matrix, (20, 20))
    torch.testing.assert_close(seen, frames[..., 10:30, 30:50].flip(-1), atol=1e-5, rtol=0)
    assert torch.equal(crop_labels(labels, matrix, (20, 20)), labels[..., 10:30, 30:50].flip(-1))


def test_labels_may_be_coarser_than_frames():
    labels = torch.arange(16).view(1, 1, 4, 4)
    whole = theta(transform(batch=1))
    assert torch.equal(crop_labels(labels, whole, (8, 8)), labels.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_large_frames_are_averaged_before_sampling():
    checkers = (torch.arange(96)[:, None] + torch.arange(96)) % 2
    frames = checkers.float().expand(1, 2, 3, 96, 96)
    small = crop(frames, theta(transform(scale=0.9, batch=1)), (24, 24))
    torch.testing.assert_close(small, torch.full_like(small, 0.5), atol=0.3, rtol=0)
    assert small.std() < 0.1


def test_autocast_does_not_blur_positions():
    transform = sample_transform(2, torch.Generator().manual_seed(0), TransformConfig())
    images = torch.rand(2, 3, 240, 240, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        cast = warp(images, transform)
    torch.testing.assert_close(cast, warp(images, transform))
