import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfvos.ops.colour import normalise_imagenet, rgb_to_lab

unit = st.floats(0, 1)


def pixel(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb).view(3, 1, 1)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0, 0)),
        ((119 / 255, 119 / 255, 119 / 255), (50.03, 0, 0)),
    ],
)
def test_published_colours(rgb, lab):
    measured = rgb_to_lab(pixel(*map(float, rgb))).flatten()
    torch.testing.assert_close(measured, torch.tensor(lab, dtype=torch.float32), atol=0.02, rtol=0)


@settings(deadline=None, max_examples=40)
@given(level=unit)
def test_grey_has_no_hue(level):
    _, a, b = rgb_to_lab(pixel(level, level, level)).flatten().tolist()
    assert abs(a) < 1e-3
    assert abs(b) < 1e-3


@settings(deadline=None, max_examples=40)
@given(red=unit, green=unit, blue=unit)
def test_lab_stays_in_its_range(red, green, blue):
    lightness, a, b = rgb_to_lab(pixel(red, green, blue)).flatten().tolist()
    assert -1e-3 <= lightness <= 100.001
    assert -86.2 < a < 98.3
    assert -107.9 < b < 94.5


def test_lightness_grows_with_grey():
    ramp = torch.linspace(0, 1, 256).expand(3, 1, 256)
    assert (rgb_to_lab(ramp)[0, 0].diff() > 0).all()


def test_any_leading_axes_are_alike():
    clip = torch.rand(2, 5, 3, 4, 6)
    lab = rgb_to_lab(clip)
    assert lab.shape == clip.shape
    torch.testing.assert_close(lab[1, 3], rgb_to_lab(clip[1, 3]))


def test_black_has_a_finite_gradient():
    black = torch.zeros(3, 2, 2, requires_grad=True)
    rgb_to_lab(black).sum().backward()
    assert black.grad is not None
    assert black.grad.isfinite().all()


def test_the_imagenet_mean_becomes_zero_and_one_deviation_one():
    mean, deviation = pixel(0.485, 0.456, 0.406), pixel(0.229, 0.224, 0.225)
    torch.testing.assert_close(normalise_imagenet(mean), torch.zeros(3, 1, 1))
    torch.testing.assert_close(normalise_imagenet((mean + deviation)[None]), torch.ones(1, 3, 1, 1))
