import math

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.liir import LIIR, LIIRConfig, compactness_loss, other_videos, shuffle_places
from selfvos.ops.reconstruction import window_affinity, window_scores
from selfvos.types import Clip

SMALL = {"position_cells": 8}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_compactness_is_that_of_public_code_but_for_places_off_the_map():
    """The unofficial public code gives 0.351248: there, places off the map score 0, and take a share of each window.

    With them left out it gives 0.351299.
    """
    generator = seeded()
    target, reference = (2 * torch.randn(2, 6, 10, 8, generator=generator) for _ in range(2))
    scores = window_scores(target, reference, radius_cells=2)
    assert compactness_loss(window_affinity(scores)).item() == pytest.approx(0.351299, rel=2e-6)
    as_published = window_affinity(scores.nan_to_num(neginf=0.0))
    assert compactness_loss(as_published).item() == pytest.approx(0.351248, rel=2e-6)


def test_only_cells_of_other_videos_compete():
    target, strangers = torch.randn(3, 4, 2, 5, generator=seeded()), torch.randn(3, 6, 4, generator=seeded(1))
    measured = other_videos(target, strangers, temperature=0.5)
    for b in range(3):
        others = torch.cat([strangers[i] for i in range(3) if i != b])
        scores = others @ target[b].flatten(1) / 0.5
        torch.testing.assert_close(measured[b].flatten(), scores.logsumexp(dim=0))


def test_a_single_video_has_no_competitors():
    assert other_videos(torch.randn(1, 4, 2, 2), torch.randn(1, 6, 4)) is None


def test_alike_features_share_out_evenly_among_window_and_strangers():
    nothing = torch.zeros(3, 4, 3, 3)
    scores = window_scores(nothing, nothing, radius_cells=1)
    affinity = window_affinity(scores, other_videos(nothing, torch.zeros(3, 5, 4)))
    # In the middle 9 cells of the window stand against 2 x 5 strangers, in a corner 4.
    assert affinity.sum(dim=1)[:, 1, 1].tolist() == pytest.approx([9 / 19] * 3)
    assert affinity.sum(dim=1)[:, 0, 0].tolist() == pytest.approx([4 / 14] * 3)


def test_compactness_pulls_towards_two_bells():
    values = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.7, 0.2], [0.0, 0.0, 0.0]])
    first, second = math.exp(0.7) / (math.exp(0.7) + math.exp(0.2)), math.exp(0.2) / (math.exp(0.7) + math.exp(0.2))
    peaks = torch.zeros(3, 3)
    for y in range(3):
        for x in range(3):
            for height, (row, column) in ((first, (1, 1)), (second, (1, 2))):
                peaks[y, x] += height * 0.0625 ** ((y - row) ** 2 + (x - column) ** 2)  # half at half a cell
    expected = functional.smooth_l1_loss(20 * values, 20 * peaks)
    torch.testing.assert_close(compactness_loss(values.view(1, 9, 1, 1)), expected)


def test_unsure_matches_are_left_alone():
    unsure = torch.tensor([0.5, 0.3, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).view(1, 9, 1, 1)
    sure = torch.tensor([0.6, 0.2, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).view(1, 9, 1, 1)
    assert compactness_loss(unsure).item() == 0
    both = compactness_loss(torch.cat([unsure, sure], dim=3))
    torch.testing.assert_close(both, compactness_loss(sure) / 2)


def test_peaks_receive_no_gradient():
    affinity = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.9, 0.1, 0.0, 0.0, 0.0]).view(1, 9, 1, 1).requires_grad_()
    compactness_loss(affinity).backward()
    first, second = torch.tensor([0.9, 0.1]).softmax(dim=0).tolist()
    # Each cell is pulled towards a fixed height: the best from far above, its left neighbour from a little below.
    assert affinity.grad.flatten()[4].item() == pytest.approx(20 / 9)
    pull = 20 * (0.0625 * first + 0.0625**4 * second)
    assert affinity.grad.flatten()[3].item() == pytest.approx(-20 / 9 * pull, rel=1e-4)


def test_places_are_shuffled_for_each_clip():
    position = torch.arange(24.0).view(1, 2, 3, 4)
    shuffled = shuffle_places(position, 5, seeded())
    assert shuffled.shape == (5, 2, 3, 4)
    assert (shuffled.flatten(2).sort(dim=2).values == position.flatten(2)).all()
    assert (shuffled[:, 1] - shuffled[:, 0] == 12).all()  # all channels of a place move together
    assert len({tuple(clip.flatten().tolist()) for clip in shuffled}) == 5
    assert torch.equal(shuffled, shuffle_places(position, 5, seeded()))


def test_heads_and_positions_learn(segmenter, clip):
    objective = LIIR(LIIRConfig(**SMALL))
    objective(EncodedClip(clip, segmenter), seeded()).total.backward()
    for parameter in objective.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


def test_other_videos_make_rebuilding_harder(segmenter, clip):
    """The same clip beside itself: its twin's cells are as good as its own, and carry nothing."""
    twins = Clip(frames=clip.frames[:1].repeat(2, 1, 1, 1, 1), index=clip.index)
    objective = LIIR(LIIRConfig(gap_odds=(1.0,), **SMALL))
    with torch.no_grad():
        objective.region_head.weight.mul_(3)
    alone = objective(EncodedClip(Clip(clip.frames[:1], clip.index[:1]), segmenter), seeded())
    beside = objective(EncodedClip(twins, segmenter), seeded())
    assert beside.parts["inter"] > alone.parts["inter"]


def test_other_videos_learn_too(segmenter, clip, monkeypatch):
    seen = []

    def spy(target, strangers, *, temperature):
        seen.append(strangers)
        return other_videos(target, strangers, temperature=temperature)

    monkeypatch.setattr("selfvos.objectives.liir.other_videos", spy)
    terms = LIIR(LIIRConfig(other_cells=5, **SMALL))(EncodedClip(clip, segmenter), seeded())
    (strangers,) = seen
    assert strangers.shape == (2, 5, 128)
    (gradient,) = torch.autograd.grad(terms.total, strangers)
    assert gradient.abs().amax(dim=(1, 2)).min() > 0


def test_positions_tell_places_apart(segmenter):
    """A clip of one colour has no features to go by: with positions alone, affinity becomes sure."""
    frames = torch.full((1, 2, 3, 64, 64), 0.4)
    objective = LIIR(LIIRConfig(gap_odds=(1.0,), feature_channels=512, **SMALL))
    before = objective(EncodedClip(Clip(frames, torch.arange(2)[None]), segmenter), seeded())
    with torch.no_grad():
        objective.position.copy_(3 * torch.randn(objective.position.shape, generator=seeded()))
    after = objective(EncodedClip(Clip(frames, torch.arange(2)[None]), segmenter), seeded())
    assert before.parts["compact"] == 0
    assert after.parts["compact"] > 0


def test_a_head_that_does_not_fit_says_what_would(segmenter, clip):
    with pytest.raises(UsageError, match="'base' has 512 channels, the head takes 256; set feature_channels=512"):
        LIIR(LIIRConfig(feature_channels=256, **SMALL))(EncodedClip(clip, segmenter), seeded())


@pytest.mark.parametrize(
    "settings", [{"other_cells": 0}, {"position_cells": 0}, {"gap_odds": ()}, {"radius_px": -1}, {"temperature": 0.0}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        LIIRConfig(**settings)
