import pytest
import torch

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.mast import MAST, MASTConfig, draw_pair, mast_loss, take_channel
from selfvos.ops.colour import lab_to_rgb, rgb_to_lab
from selfvos.ops.reconstruction import at_cells, photometric_loss, propagate_window, window_affinity, window_scores


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pastel(*leading: int) -> torch.Tensor:
    """Colours so faint that they stay within sRGB without their a or b."""
    unit = torch.rand(*leading, 3, 4, 4, generator=seeded())
    return unit * torch.tensor([40.0, 16, 16])[:, None, None] + torch.tensor([30.0, -8, -8])[:, None, None]


def test_the_loss_is_that_of_the_authors_public_code_but_for_places_off_the_map():
    """The authors' public code gives 10.088249: there, places off the map score 0, and take a share of each window.

    With them left out, as the paper has it, their code gives 10.128316.
    """
    generator = seeded()
    target, reference = (torch.randn(2, 6, 9, 8, generator=generator) for _ in range(2))
    reference_colour, colour = (torch.rand(2, 1, 36, 32, generator=generator) * 2 - 1 for _ in range(2))
    loss = mast_loss(target, reference, reference_colour, colour, radius_px=8)
    assert loss.item() == pytest.approx(10.128316, rel=2e-6)
    as_published = window_scores(target, reference, radius_cells=2).nan_to_num(neginf=0.0)
    rebuilt = propagate_window(window_affinity(as_published), at_cells(reference_colour, 4))
    assert photometric_loss(rebuilt, colour).item() == pytest.approx(10.088249, rel=2e-6)


def test_identical_frames_with_telling_features_cost_nothing():
    telling = 50 * torch.eye(12).view(1, 12, 3, 4)
    colour = torch.rand(1, 1, 3, 4)
    assert mast_loss(telling, telling, colour, colour, radius_px=2).item() == pytest.approx(0, abs=1e-8)


def test_features_that_tell_nothing_give_the_mean_colour():
    nothing = torch.zeros(1, 4, 1, 2)
    colour = torch.tensor([0.0, 0.2]).view(1, 1, 1, 2)
    # Both cells are guessed as 0.1, off by 0.1: 20 times that is 2, and smooth L1 of 2 is 1.5.
    assert mast_loss(nothing, nothing, colour, colour, radius_px=1).item() == pytest.approx(1.5)


@pytest.mark.parametrize(("radius_px", "found"), [(8, True), (7, False)])
def test_the_radius_is_in_pixels(radius_px, found):
    """One coloured cell on a background, moved by 8 pixels: two cells of stride 4."""

    def scene(place: int) -> tuple[torch.Tensor, torch.Tensor]:
        is_object = torch.arange(6) == place
        feature = 50 * torch.stack([is_object, ~is_object]).float().view(1, 2, 1, 6).expand(1, 2, 6, 6)
        colour = (0.5 * is_object.float()).repeat_interleave(4).view(1, 1, 1, 24).expand(1, 1, 24, 24)
        return feature, colour

    target, colour = scene(1)
    reference, reference_colour = scene(3)
    perfect = mast_loss(target, target, colour, colour, radius_px=radius_px)
    moved = mast_loss(target, reference, reference_colour, colour, radius_px=radius_px)
    if found:
        torch.testing.assert_close(moved, perfect)
    else:
        assert moved > 1.5 * perfect


def test_a_or_b_is_taken_from_all_frames_of_a_clip():
    lab = pastel(12, 2)
    frames, channel = take_channel(lab_to_rgb(lab), seeded())
    left = rgb_to_lab(frames)
    seen = set()
    for b in range(len(lab)):
        taken = 1 if left[b, :, 1].abs().max() < 0.05 else 2
        seen.add(taken)
        torch.testing.assert_close(left[b, :, taken], torch.zeros(2, 4, 4), atol=0.05, rtol=0)
        torch.testing.assert_close(left[b, :, [0, 3 - taken]], lab[b, :, [0, 3 - taken]], atol=0.05, rtol=0)
        torch.testing.assert_close(channel[b, :, 0], lab[b, :, taken] / 127, atol=1e-3, rtol=0)
    assert seen == {1, 2}


def test_what_is_left_says_nothing_of_the_channel_taken():
    """Two pictures that differ in a alone look alike without it, and differ as long as b was taken instead."""
    lab = pastel(1, 1)
    pictures = [lab_to_rgb(lab + torch.tensor([0.0, a, 0.0])[:, None, None]) for a in (0.0, 6.0)]
    seen = set()
    for seed in range(8):
        (left, channel), (left2, channel2) = (take_channel(picture, seeded(seed)) for picture in pictures)
        a_was_taken = bool((channel2 - channel).mean() > 0.5 * 6 / 127)
        seen.add(a_was_taken)
        assert bool((left - left2).abs().max() < 1e-3) == a_was_taken
    assert seen == {True, False}


def test_pairs_start_at_the_first_frame_and_follow_the_odds():
    frames = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(2000, 4, 3, 1, 1)
    pair = draw_pair(frames, (0.4, 0.4, 0.2), seeded())[:, :, 0, 0, 0]
    assert (pair[:, 0] == 0).all()
    shares = [(pair[:, 1] == t).float().mean().item() for t in (1, 2, 3)]
    assert shares == pytest.approx([0.4, 0.4, 0.2], abs=0.04)
    assert (draw_pair(frames, (0.0, 1.0), seeded())[:, 1] == 2).all()
    with pytest.raises(UsageError, match="pairs are drawn from 4 frames, got clips of 3"):
        draw_pair(frames[:, :3], (0.4, 0.4, 0.2), seeded())


def test_both_frames_are_encoded_once_and_the_head_learns(segmenter, clip):
    objective = MAST(MASTConfig())
    objective(EncodedClip(clip, segmenter), seeded()).total.backward()
    (seen,) = segmenter.calls
    assert seen.shape == (4, 3, 128, 128)
    assert 0 <= seen.min() <= seen.max() <= 1
    assert objective.head.weight.grad is not None
    assert objective.head.weight.grad.abs().sum() > 0


def test_a_head_that_does_not_fit_says_what_would(segmenter, clip):
    with pytest.raises(UsageError, match="'base' has 512 channels, the head takes 256; set feature_channels=512"):
        MAST(MASTConfig(feature_channels=256))(EncodedClip(clip, segmenter), seeded())


@pytest.mark.parametrize(
    "settings",
    [{"gap_odds": ()}, {"gap_odds": (0.0, 0.0)}, {"gap_odds": (1.0, -1.0)}, {"radius_px": -1}, {"temperature": 0.0}],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        MASTConfig(**settings)
