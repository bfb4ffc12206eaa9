import math

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.corrflow import (
    CorrFlow,
    CorrFlowConfig,
    chain_affinities,
    draw_kept,
    long_loss,
    short_loss,
)
from selfvos.ops.reconstruction import label_loss, propagate_window

NOWHERE = 8 * math.log(10)
"""Loss of a colour that was not within reach."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_hot(labels: torch.Tensor, count: int) -> torch.Tensor:
    return functional.one_hot(labels, count).movedim(-1, -3).float()


def as_matrix(affinity: torch.Tensor) -> torch.Tensor:
    """Write a window's affinity (1 k h w) as target cells x reference cells."""
    _, k, h, w = affinity.shape
    side, radius = math.isqrt(k), math.isqrt(k) // 2
    matrix = torch.zeros(h * w, h * w)
    for y in range(h):
        for x in range(w):
            for place in range(k):
                row, column = y + place // side - radius, x + place % side - radius
                if 0 <= row < h and 0 <= column < w:
                    matrix[y * w + x, row * w + column] = affinity[0, place, y, x]
    return matrix


def test_losses_are_those_of_the_authors_public_code_but_for_the_size_of_rebuilt_colours():
    """What the authors' public code gives for a chain of three frames; bins are equal over a cell's 4x4 pixels.

    From real colours it gives 7.482659. From rebuilt ones it gives 7.920763, and 5.090095 for the ways there and back,
    once it leaves them at the size of the cells; as published, it enlarges them after each link and shrinks them
    again for the next, which blurs them: 7.819023 and 5.137713.
    """
    generator = seeded()
    features = torch.randn(2, 3, 6, 9, 8, generator=generator)
    cells = torch.randint(16, (2, 3, 9, 8), generator=generator)
    labels = cells.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    onward, back = chain_affinities(features, radius_cells=6)
    colours = one_hot(cells.flatten(0, 1), 16).unflatten(0, (2, 3))

    def short(truth: bool) -> float:
        return short_loss(onward, colours, labels, torch.full((2, 2), truth)).item()

    assert short(True) == pytest.approx(7.482659, rel=2e-6)
    assert short(False) == pytest.approx(7.920763, rel=2e-6)
    assert long_loss(onward, back, colours[:, 0], labels[:, 0]).item() == pytest.approx(5.090095, rel=2e-6)

    def pass_on(affinity: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
        small = functional.interpolate(full, size=(9, 8), mode="bilinear")
        return functional.interpolate(propagate_window(affinity, small), size=(36, 32), mode="bilinear")

    first = pass_on(onward[0], one_hot(labels[:, 0], 16))
    second = pass_on(onward[1], first)
    home = [pass_on(back[0], first), pass_on(back[0], pass_on(back[1], second))]
    as_published = label_loss(first, labels[:, 1]) + label_loss(second, labels[:, 2])
    assert as_published.item() == pytest.approx(7.819023, rel=2e-6)
    assert sum(label_loss(each, labels[:, 0]).item() for each in home) == pytest.approx(5.137713, rel=2e-6)


def test_telling_features_pass_colours_on_and_back_for_nothing():
    features = 50 * torch.eye(12).view(1, 1, 12, 3, 4).repeat(1, 3, 1, 1, 1)
    labels = torch.arange(12).view(1, 1, 3, 4).repeat(1, 3, 1, 1)
    onward, back = chain_affinities(features, radius_cells=2)
    colours = one_hot(labels, 12)
    assert short_loss(onward, colours, labels, torch.zeros(1, 2, dtype=torch.bool)).item() == pytest.approx(0, abs=1e-6)
    assert long_loss(onward, back, colours[:, 0], labels[:, 0]).item() == pytest.approx(0, abs=1e-6)


def test_a_link_starts_from_real_or_rebuilt_colours():
    """Cells that stay where they are; the colour changes from 0 to 1 between the first two frames."""
    onward = [torch.ones(1, 1, 1, 1)] * 2
    labels = torch.tensor([0, 1, 1]).view(1, 3, 1, 1)
    colours = one_hot(labels, 2)

    def measured(*truth: bool) -> float:
        return short_loss(onward, colours, labels, torch.tensor([truth])).item()

    assert measured(True, True) == measured(False, True) == pytest.approx(NOWHERE)
    assert measured(True, False) == pytest.approx(2 * NOWHERE)


def test_every_clip_has_its_own_chances():
    onward = [torch.ones(2, 1, 1, 1)] * 2
    labels = torch.tensor([0, 1, 1]).view(1, 3, 1, 1).repeat(2, 1, 1, 1)
    truth = torch.tensor([[True, True], [True, False]])
    assert short_loss(onward, one_hot(labels, 2), labels, truth).item() == pytest.approx(1.5 * NOWHERE)


def test_the_way_there_and_back_is_a_product_of_affinities():
    features = torch.randn(1, 4, 6, 3, 4, generator=seeded())
    labels = torch.randint(5, (1, 3, 4), generator=seeded())
    onward, back = chain_affinities(features, radius_cells=1, temperature=0.5)
    first, second, third = (as_matrix(a) for a in onward)
    home1, home2, home3 = (as_matrix(a) for a in back)
    ways = [home1 @ first, home1 @ home2 @ second @ first, home1 @ home2 @ home3 @ third @ second @ first]
    colours = one_hot(labels, 5)
    expected = sum(-((way @ colours[0].flatten(1).T).gather(1, labels.view(-1, 1)) + 1e-8).log().mean() for way in ways)
    torch.testing.assert_close(long_loss(onward, back, colours, labels), torch.as_tensor(expected))


def test_links_rebuild_the_later_frame_from_the_earlier_and_back():
    features = torch.randn(1, 2, 3, 2, 2, generator=seeded())
    (onward,), (back,) = chain_affinities(features, radius_cells=1)
    scores = features[0, 1].flatten(1).T @ features[0, 0].flatten(1)
    torch.testing.assert_close(as_matrix(onward), scores.softmax(dim=1))
    torch.testing.assert_close(as_matrix(back), scores.T.softmax(dim=1))


def test_one_or_two_channels_are_lost_as_often_as_wanted():
    assert draw_kept(50, 0.0, seeded()).min() == 1
    always = draw_kept(3000, 1.0, seeded()).sum(dim=1)
    assert set(always.tolist()) == {1, 2}
    assert (always == 1).float().mean() == pytest.approx(0.5, abs=0.05)
    kept = draw_kept(3000, 0.7, seeded())
    assert (kept.sum(dim=1) == 3).float().mean() == pytest.approx(0.3, abs=0.05)
    assert kept.mean(dim=0).tolist() == pytest.approx([0.65] * 3, abs=0.05)


def test_channels_are_lost_in_all_frames_of_a_clip(segmenter, clip):
    CorrFlow(CorrFlowConfig(drop_probability=1.0, jitter_probability=0.0))(EncodedClip(clip, segmenter), seeded())
    seen = segmenter.calls[0].unflatten(0, (2, 3))
    lost = seen.amax(dim=(-2, -1)) == 0  # b t 3
    assert (lost == lost[:, :1]).all()
    assert lost[:, 0].any(dim=1).all()
    kept = seen.movedim(2, 0)[:, ~lost.any(dim=-1)]
    assert kept.numel() == 0


@pytest.mark.parametrize(("probability", "changed"), [(0.0, [False, False]), (1.0, [True, True])])
def test_jitter_touches_the_chosen_clips(segmenter, clip, probability, changed):
    config = CorrFlowConfig(frames=5, drop_probability=0.0, jitter_probability=probability)
    CorrFlow(config)(EncodedClip(clip, segmenter), seeded())
    difference = (segmenter.calls[0].unflatten(0, (2, 5)) - clip.frames).abs().amax(dim=(1, 2, 3, 4))
    assert (difference > 0.01).tolist() == changed


def test_real_colours_become_rarer_with_the_steps_alone(segmenter, clip):
    objective = CorrFlow(CorrFlowConfig(anneal_steps=4))
    assert objective.truth_probability == pytest.approx(0.9)
    objective(EncodedClip(clip, segmenter), seeded())
    assert objective.truth_probability == pytest.approx(0.9)
    for expected in (0.825, 0.75, 0.675, 0.6, 0.6):
        objective.after_step(segmenter)
        assert objective.truth_probability == pytest.approx(expected)
    resumed = CorrFlow(CorrFlowConfig(anneal_steps=4))
    resumed.load_state_dict(objective.state_dict())
    assert resumed.truth_probability == pytest.approx(0.6)


def test_the_head_learns(segmenter, clip):
    objective = CorrFlow(CorrFlowConfig())
    objective(EncodedClip(clip, segmenter), seeded()).total.backward()
    assert objective.head.weight.grad is not None
    assert objective.head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "settings",
    [
        {"frames": 1},
        {"radius_px": -1},
        {"anneal_steps": 0},
        {"temperature": 0.0},
        {"drop_probability": 1.1},
        {"truth_end": -0.1},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        CorrFlowConfig(**settings)
