import pytest
import torch

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.concorr import (
    ConCorr,
    ConCorrConfig,
    batch_affinity,
    draw_kept_channels,
    rebuild_from_all,
    self_affinity,
    sparsity_loss,
    without_channels,
)
from selfvos.ops.colour import grey, rgb_to_lab
from selfvos.ops.cycles import frame_affinity


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_all_clips_give_is_that_of_the_authors_public_code():
    """What the authors' public code gives for two clips: sparsity, and the code rebuilt from both."""
    generator = seeded()
    reference, target = (torch.randn(2, 6, 8, 8, generator=generator) for _ in range(2))
    code = torch.randn(2, 5, 8, 8, generator=generator)
    affinity = batch_affinity(target, reference, temperature=1.0)
    assert sparsity_loss(affinity, 2).item() == pytest.approx(0.500058, rel=2e-6)
    assert rebuild_from_all(affinity, code).square().sum().item() == pytest.approx(148.8985, rel=2e-6)


def test_one_or_two_channels_are_dropped_as_often_as_asked():
    generator = seeded()
    drawn = [tuple(draw_kept_channels(generator, drop_probability=0.7).tolist()) for _ in range(3000)]
    kept = [sum(each) for each in drawn]
    assert set(kept) == {1, 2, 3}
    assert kept.count(3) / 3000 == pytest.approx(0.3, abs=0.03)
    assert kept.count(1) / 3000 == pytest.approx(0.35, abs=0.03)
    assert len(set(drawn)) == 7
    assert draw_kept_channels(seeded(), drop_probability=0.0).all()


def test_dropped_channels_say_nothing():
    picture = 0.4 + 0.2 * torch.rand(2, 3, 8, 8, generator=seeded())  # colours that sRGB has at any lightness near
    kept = torch.tensor([True, True, True])
    assert torch.equal(without_channels(picture, kept), picture)
    torch.testing.assert_close(without_channels(picture, torch.tensor([True, False, False])), grey(picture))
    lab, seen = rgb_to_lab(picture), rgb_to_lab(without_channels(picture, torch.tensor([False, True, False])))
    torch.testing.assert_close(seen[:, 0], torch.full_like(seen[:, 0], 50.0), atol=1e-2, rtol=0)
    torch.testing.assert_close(seen[:, 1], lab[:, 1], atol=1e-2, rtol=0)
    torch.testing.assert_close(seen[:, 2], torch.zeros_like(seen[:, 2]), atol=1e-2, rtol=0)


def test_a_cell_finds_its_double_but_never_itself():
    features = torch.eye(3).repeat_interleave(2, dim=1).view(1, 3, 2, 3)  # cells 0 and 1, 2 and 3, 4 and 5 are alike
    affinity = self_affinity(10 * features, temperature=1.0)[0]
    torch.testing.assert_close(affinity, torch.eye(6)[[1, 0, 3, 2, 5, 4]])


def test_the_affinity_of_one_clip_is_the_plain_one():
    target, reference = torch.randn(1, 8, 2, 3, generator=seeded()), torch.randn(1, 8, 3, 3, generator=seeded(1))
    both = batch_affinity(target, reference, temperature=2.0)
    torch.testing.assert_close(both, frame_affinity(target, reference, temperature=2.0)[0])


def test_all_clips_compete():
    target, reference = torch.randn(2, 8, 2, 2, generator=seeded()), torch.randn(2, 8, 2, 2, generator=seeded(1))
    affinity = batch_affinity(target, reference, temperature=2.0)
    scores = torch.tensor(
        [
            [target[b, :, i // 2, i % 2] @ reference[c, :, j // 2, j % 2] / 2 for b in range(2) for i in range(4)]
            for c in range(2)
            for j in range(4)
        ]
    )
    torch.testing.assert_close(affinity, scores.softmax(dim=0))


def test_targets_are_rebuilt_from_whichever_clip_answers():
    code = torch.rand(3, 5, 2, 2, generator=seeded())
    torch.testing.assert_close(rebuild_from_all(torch.eye(12), code), code)
    from_the_next = torch.eye(12).roll(4, dims=0)  # target cell q looks at reference cell q + 4: the next clip's
    torch.testing.assert_close(rebuild_from_all(from_the_next, code), code.roll(-1, dims=0))


def test_affinity_that_stays_at_home_costs_nothing():
    assert sparsity_loss(torch.eye(12), 3).item() == 0
    assert sparsity_loss(torch.full((12, 12), 1 / 12), 3).item() == pytest.approx(2 / 3)
    assert sparsity_loss(torch.eye(12).roll(4, dims=0), 3).item() == 1


def test_parts_between_clips_cost_nothing_while_they_count_nothing(segmenter, clip, monkeypatch):
    monkeypatch.setattr("selfvos.objectives.concorr.batch_affinity", None)
    objective = ConCorr(ConCorrConfig(inter_weight=0.0, sparsity_weight=0.0))
    parts = objective(EncodedClip(clip, segmenter), seeded()).parts
    assert set(parts) == {"colour", "reverse", "concentration", "codec", "within"}


def test_all_pictures_of_a_batch_lose_the_same_channels(segmenter, clip):
    objective = ConCorr(ConCorrConfig(drop_probability=1.0))
    lost = []
    for seed in range(8):
        segmenter.calls.clear()
        objective(EncodedClip(clip, segmenter), seeded(seed))
        assert all(0 <= seen.min() <= seen.max() <= 1 for seen in segmenter.calls)
        # Greys are the pictures that lost both hues; clipping to sRGB hides the other cases.
        flat = [bool((seen - seen[:, :1]).abs().max() < 1e-3) for seen in segmenter.calls]
        assert len(set(flat)) == 1
        lost.append(flat[0])
    assert {True, False} == set(lost)


def test_impossible_settings_are_refused():
    with pytest.raises(UsageError, match="drop_probability must be"):
        ConCorrConfig(drop_probability=1.5)
    with pytest.raises(UsageError, match="temperature must be"):
        ConCorrConfig(temperature=0.0)
