import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from selfvos.errors import UsageError
from selfvos.ops.colour import AB_CENTRES, ab_bins, grey, jitter, lab_to_rgb, normalise_imagenet, rgb_to_lab

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
    torch.testing.assert_close(lab[1, 3], rgb_to_lab(clip[1, 3]), atol=1e-4, rtol=1e-5)


def test_black_has_a_finite_gradient():
    black = torch.zeros(3, 2, 2, requires_grad=True)
    rgb_to_lab(black).sum().backward()
    assert black.grad is not None
    assert black.grad.isfinite().all()


def test_the_imagenet_mean_becomes_zero_and_one_deviation_one():
    mean, deviation = pixel(0.485, 0.456, 0.406), pixel(0.229, 0.224, 0.225)
    torch.testing.assert_close(normalise_imagenet(mean), torch.zeros(3, 1, 1))
    torch.testing.assert_close(normalise_imagenet((mean + deviation)[None]), torch.ones(1, 3, 1, 1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=40)
@given(red=unit, green=unit, blue=unit)
def test_a_colour_survives_the_way_to_lab_and_back(red, green, blue):
    colour = pixel(red, green, blue)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(colour)), colour, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        ((100.0, 0.0, 0.0), (1, 1, 1)),
        ((0.0, 0.0, 0.0), (0, 0, 0)),
        ((53.24, 80.09, 67.20), (1, 0, 0)),
        ((50.03, 0.0, 0.0), (119 / 255, 119 / 255, 119 / 255)),
        ((50.0, 0.0, -127.0), (0, 0.5418, 1)),  # no screen has this blue: red is below 0, blue above 1
    ],
)
def test_published_lab_colours_and_the_edge_of_srgb(lab, rgb):
    shown = lab_to_rgb(pixel(*lab)).flatten()
    torch.testing.assert_close(shown, torch.tensor(rgb, dtype=torch.float32), atol=2e-3, rtol=0)


@settings(deadline=None, max_examples=40)
@given(lightness=st.floats(0, 100), a=st.floats(-127, 127), b=st.floats(-127, 127))
def test_any_lab_is_shown_within_range(lightness, a, b):
    shown = lab_to_rgb(pixel(lightness, a, b))
    assert shown.isfinite().all()
    assert shown.min() >= 0
    assert shown.max() <= 1


def test_grey_keeps_lightness_alone():
    rgb = torch.rand(2, 3, 6, 6, generator=seeded())
    shown = grey(rgb)
    torch.testing.assert_close(shown[:, :1].expand_as(shown), shown, atol=1e-4, rtol=0)
    torch.testing.assert_close(rgb_to_lab(shown)[:, 0], rgb_to_lab(rgb)[:, 0], atol=0.02, rtol=0)


def test_colours_keep_their_precision_under_autocast():
    rgb = torch.rand(2, 3, 4, 4, generator=seeded())
    lab = rgb_to_lab(rgb)
    shown = lab_to_rgb(lab)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rgb_to_lab(rgb), lab)
        assert torch.equal(lab_to_rgb(lab), shown)


def test_showing_lab_has_a_finite_gradient():
    black = torch.zeros(3, 2, 2, requires_grad=True)
    lab_to_rgb(black).sum().backward()
    assert black.grad is not None
    assert black.grad.isfinite().all()


def test_every_centre_is_its_own_bin_whatever_the_lightness():
    centres = torch.tensor(AB_CENTRES).float()
    assert len(AB_CENTRES) == len(set(AB_CENTRES)) == 16
    for lightness in (10.0, 90.0):
        lab = torch.cat([torch.full((16, 1), lightness), centres], dim=1).T[:, None]
        assert ab_bins(lab)[0].tolist() == list(range(16))


@pytest.mark.parametrize(
    ("rgb", "centre"), [((1, 0, 0), (43, 23)), ((0, 1, 0), (-27, 58)), ((0, 0, 1), (28, -63)), ((1, 1, 1), (0, 0))]
)
def test_bins_of_pure_colours(rgb, centre):
    assert AB_CENTRES[ab_bins(rgb_to_lab(pixel(*map(float, rgb)))).item()] == centre


def test_centres_fit_real_pictures_they_were_not_made_of(shared_data):
    distances = []
    for name in ("dog-agility", "drift-turn", "horsejump-low", "motorbike", "soccerball"):
        path = shared_data / "davis2016_train" / "JPEGImages" / "480p" / name / "00000.jpg"
        frame = torch.from_numpy(np.asarray(Image.open(path))[::8, ::8].copy()).movedim(-1, 0) / 255
        lab = rgb_to_lab(frame)
        centres = torch.tensor(AB_CENTRES)[ab_bins(lab)]
        distances.append((lab[1:].movedim(0, -1) - centres).norm(dim=-1).mean().item())
    assert max(distances) < 8


def test_jitter_changes_pictures_by_chance_alone():
    rgb = torch.rand(3, 3, 5, 5, generator=seeded())
    changed = jitter(rgb, 0.1, seeded(1))
    assert torch.equal(changed, jitter(rgb, 0.1, seeded(1)))
    assert not torch.equal(changed, jitter(rgb, 0.1, seeded(2)))
    assert (changed - rgb).abs().amax(dim=(1, 2, 3)).min() > 0.01
    assert 0 <= changed.min() <= changed.max() <= 1
    torch.testing.assert_close(jitter(rgb, 0.0, seeded()), rgb, atol=1e-4, rtol=0)


def test_jitter_gives_grey_no_hue_and_keeps_contrast_around_the_mean():
    ramp = torch.linspace(0.2, 0.8, 16).expand(1, 3, 4, 16)
    changed = jitter(ramp, 0.1, seeded(3))
    torch.testing.assert_close(changed[:, :1].expand_as(changed), changed, atol=1e-4, rtol=0)
    assert (changed[0, 0, 0].diff() > 0).all()


def test_impossible_jitter_is_refused():
    with pytest.raises(UsageError, match="strength"):
        jitter(torch.rand(1, 3, 2, 2), 0.6, seeded())
