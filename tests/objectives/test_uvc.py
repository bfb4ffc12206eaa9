import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.uvc import (
    UVC,
    ColourCodec,
    PatchConfig,
    PatchPair,
    UVCConfig,
    colour_error,
    concentration_loss,
    kept_mean,
    locate_box,
    patch_pair,
    rebuild,
    scaled_lab,
)
from selfvos.ops.colour import grey
from selfvos.ops.cycles import affine_matrix, cell_positions, cut, expected_positions, frame_affinity


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_different(batch: int, side: int) -> torch.Tensor:
    cells = torch.eye(side**2).view(side, side, side**2).permute(2, 0, 1)
    return cells.expand(batch, -1, -1, -1)


def positions(side: int) -> torch.Tensor:
    return cell_positions(side, side, like=torch.empty(0)).mT.unflatten(-1, (side, side))[None]


def test_colours_cost_what_they_cost_in_the_authors_public_code():
    """What the authors' public code gives for four pairs of pictures; two are too far off to count."""
    generator = seeded()
    a, b, c, d = (0.3 * torch.randn(4, 3, 8, 8, generator=generator) for _ in range(4))
    a[0] *= 0.2
    b[0] *= 0.2
    a[1] = b[1] + 0.01
    colour, reverse = colour_error(a, b), colour_error(c, d)
    weight = UVCConfig().reverse_weight
    judged = colour + weight * reverse
    kept = [kept_mean(errors, judged, drop_above=2.5) for errors in (colour, reverse)]
    assert (kept[0] + weight * kept[1]).item() == pytest.approx(0.770963, rel=2e-6)
    assert (judged <= 2.5).tolist() == [True, True, False, False]


def test_concentration_is_that_of_the_authors_public_code():
    """What the authors' public code gives for both directions between two random maps, in blocks of 4x4 cells."""
    generator = seeded()
    reference, target = (torch.randn(2, 6, 8, 8, generator=generator) for _ in range(2))
    loss = 0.0
    for query, memory in ((target, reference), (reference, target)):
        affinity = frame_affinity(query, memory, temperature=1.0)
        expected = expected_positions(affinity, cell_positions(8, 8, like=affinity)).mT.unflatten(-1, (8, 8))
        loss += concentration_loss(expected, window_cells=4).item()
    assert loss == pytest.approx(0.123391, rel=5e-6)


def test_colours_are_scaled_to_about_one():
    picture = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]).T[None, :, None]
    lab = scaled_lab(picture)[0, :, 0].T
    expected = torch.tensor([[-1.0, 0, 0], [1, 0, 0], [53.2408 / 50 - 1, 80.0925 / 128, 67.2032 / 128]])
    torch.testing.assert_close(lab, expected, atol=1e-4, rtol=0)


def test_the_colour_error_weighs_hue_ten_times():
    truth = torch.zeros(2, 3, 4, 4)
    rebuilt = torch.tensor([[0.1, -0.02, 0.03], [0.0, 0.0, 0.0]])[:, :, None, None].expand(-1, -1, 4, 4)
    assert colour_error(rebuilt, truth).tolist() == pytest.approx([0.6, 0.0])


def test_hopeless_samples_count_nothing():
    errors, judged = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 2.5, 2.6])
    assert kept_mean(errors, judged, drop_above=2.5).item() == 1.0
    assert kept_mean(errors, judged, drop_above=0.0).item() == 2.0


def test_blocks_that_end_up_in_one_point_cost_nothing():
    blocks = positions(2).repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    assert concentration_loss(blocks, window_cells=8).item() == 0
    # Eight places 1/8 apart have the variance (8^2 - 1) / 12 / 8^2.
    assert concentration_loss(positions(16), window_cells=8).item() == pytest.approx(63 / 12 / 64, rel=1e-5)
    moved = positions(16) + torch.tensor([0.3, -0.2])[:, None, None]
    assert concentration_loss(moved, window_cells=8).item() == pytest.approx(63 / 12 / 64, rel=1e-5)


def test_a_patch_is_located_around_the_mean_of_its_matches():
    cells = torch.arange(100).view(10, 10)
    affinity = functional.one_hot(cells[2:6, 4:8].flatten(), 100).float().mT[None]
    box = locate_box(affinity, (10, 10), scale=0.4)
    torch.testing.assert_close(box, affine_matrix(torch.tensor([[0.2, -0.2]]), torch.zeros(1), 0.4))
    corner = functional.one_hot(torch.zeros(16, dtype=torch.long), 100).float().mT[None]
    torch.testing.assert_close(locate_box(corner, (10, 10), scale=0.4)[0, :, 2], torch.tensor([-0.6, -0.6]))


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_the_code_has_a_cell_for_each_feature_cell(stride):
    codec = ColourCodec(stride, 16)
    code = codec.encode(torch.zeros(2, 3, 16, 16))
    assert code.shape == (2, 16, 16 // stride, 16 // stride)
    assert codec.decode(code).shape == (2, 3, 16, 16)


def test_the_fixed_decoder_passes_gradient_and_learns_nothing():
    codec, code = ColourCodec(8, 16), torch.rand(1, 16, 2, 2, generator=seeded(), requires_grad=True)
    picture = codec.decode_fixed(code)
    assert torch.equal(picture, codec.decode(code))
    picture.square().sum().backward()
    assert code.grad is not None
    assert code.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in codec.parameters())


def test_perfect_matches_lose_what_the_codec_loses():
    """Both patches show the same, and every cell finds itself: all errors are the auto-encoder's."""
    codec, lab = ColourCodec(8, 16), torch.rand(2, 3, 32, 32, generator=seeded()) / 5
    features = 100 * all_different(2, 4)
    config = UVCConfig(temperature=1.0, window_cells=4)
    rebuilt = rebuild(PatchPair(features, features, lab, lab), codec, config)
    codec_loss = rebuilt.parts["codec"]
    torch.testing.assert_close(rebuilt.parts["colour"], codec_loss)
    torch.testing.assert_close(rebuilt.parts["reverse"], codec_loss)
    # Two directions, each the variance of four places half a unit apart: (4^2 - 1) / 12 / 2^2.
    assert rebuilt.parts["concentration"].item() == pytest.approx(2 * 15 / 12 / 4, rel=1e-5)


def test_colours_follow_the_affinity():
    """The target shows the reference's columns in another order: so does what is rebuilt."""
    codec, features = ColourCodec(8, 16), 100 * all_different(1, 4)
    lab = torch.rand(1, 3, 32, 32, generator=seeded()) / 5
    straight = rebuild(PatchPair(features, features, lab, lab), codec, UVCConfig()).code
    pair = PatchPair(features, features.flip(3), lab, lab)
    flipped = rebuild(pair, codec, UVCConfig()).target_lab
    torch.testing.assert_close(flipped, codec.decode(straight.flip(3)))


def test_only_its_own_part_teaches_the_codec(segmenter, clip):
    objective = UVC(UVCConfig(codec_weight=0.0, drop_above=0.0))
    objective(EncodedClip(clip, segmenter), seeded()).total.backward()
    assert all(weight.grad is None or weight.grad.abs().sum() == 0 for weight in objective.codec.parameters())
    assert segmenter.layer1.weight.grad.abs().sum() > 0


def test_the_encoder_sees_grey_pictures_of_patch_and_frame(segmenter, clip):
    patch_pair(EncodedClip(clip, segmenter), grey, seeded(), UVCConfig())
    patch, frame = segmenter.calls
    assert (patch.shape, frame.shape) == ((2, 3, 48, 48), (2, 3, 128, 128))
    for seen in segmenter.calls:
        assert 0 <= seen.min() <= seen.max() <= 1
        torch.testing.assert_close(seen[:, :1].expand(-1, 3, -1, -1), seen, atol=1e-4, rtol=0)


def test_without_localisation_both_patches_lie_anywhere(segmenter, clip):
    config = UVCConfig(patches=PatchConfig(localise=False, share=0.25))
    pair = patch_pair(EncodedClip(clip, segmenter), grey, seeded(), config)
    assert [call.shape[-1] for call in segmenter.calls] == [32, 32]
    assert pair.target.shape == (2, 512, 4, 4)
    assert not torch.allclose(pair.target_lab, pair.reference_lab)


def test_features_that_say_nothing_find_the_middle(segmenter, clip):
    for weight in segmenter.parameters():
        torch.nn.init.zeros_(weight)
    pair = patch_pair(EncodedClip(clip, segmenter), grey, seeded(), UVCConfig())
    middle = affine_matrix(torch.zeros(2, 2), torch.zeros(2), 48 / 128)
    found = [t for t in range(5) if torch.allclose(pair.target_lab, _shown(clip.frames[:, t], middle), atol=1e-3)]
    assert len(found) == 1


def _shown(frames: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    return scaled_lab(cut(frames, box, (48, 48)))


def test_pairs_of_frames_are_drawn_anew(segmenter, clip):
    seen = set()
    for seed in range(12):
        segmenter.calls.clear()
        patch_pair(EncodedClip(clip, segmenter), lambda rgb: rgb, seeded(seed), UVCConfig())
        seen.add(next(t for t in range(5) if torch.equal(segmenter.calls[1], clip.frames[:, t])))
    assert len(seen) > 2


def test_another_stride_is_refused_or_set(segmenter, clip):
    with pytest.raises(UsageError, match="set stride=4"):
        UVC(UVCConfig(feature="layer1"))(EncodedClip(clip, segmenter), seeded())
    terms = UVC(UVCConfig(feature="layer1", stride=4))(EncodedClip(clip, segmenter), seeded())
    assert terms.total.isfinite()


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {"stride": 6}, {"stride": 1}, {"colour_channels": 20}, {"window_cells": 0}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="must be"):
        UVCConfig(**settings)
    with pytest.raises(UsageError, match="share must be"):
        PatchConfig(share=1.5)
