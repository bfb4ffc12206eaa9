import math

import pytest
import torch

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.colorization import (
    Colorization,
    ColorizationConfig,
    colorization_loss,
    consecutive_frames,
    feature_map,
)
from selfvos.types import Clip

SMALL = {"head_width": 8}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_telling_features_copy_the_right_colours_for_nothing():
    telling = 50 * torch.eye(12).view(1, 12, 3, 4)
    colours = torch.arange(12).view(1, 3, 4)
    other = telling.roll(1, dims=1)  # nothing of the target is in the second reference
    loss = colorization_loss(
        telling, torch.stack([telling, -other], dim=1), colours[:, None].repeat(1, 2, 1, 1), colours
    )
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_features_that_tell_nothing_guess_by_frequency():
    nothing = torch.zeros(1, 4, 2, 2)
    colours = torch.tensor([[[[0, 0], [1, 2]], [[0, 0], [0, 0]]]])  # six of 0, one of 1, one of 2
    loss = colorization_loss(nothing, nothing[:, None].repeat(1, 2, 1, 1, 1), colours, torch.tensor([[[0, 1], [2, 3]]]))
    expected = (math.log(8 / 6) + 2 * math.log(8) + 8 * math.log(10)) / 4  # no reference has colour 3
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_all_cells_of_all_references_compete():
    target, references = torch.randn(2, 5, 3, 4), torch.randn(2, 3, 5, 3, 4)
    colours, truth = torch.randint(16, (2, 3, 3, 4)), torch.randint(16, (2, 3, 4))
    losses = []
    for b in range(2):
        for y in range(3):
            for x in range(4):
                scores = torch.einsum("nchw,c->nhw", references[b], target[b, :, y, x]) / 0.7
                share = scores.flatten().softmax(dim=0)[colours[b].flatten() == truth[b, y, x]].sum()
                losses.append(-(share + 1e-8).log())
    measured = colorization_loss(target, references, colours, truth, temperature=0.7)
    torch.testing.assert_close(measured, torch.stack(losses).mean())


def test_the_encoder_sees_no_hue(segmenter, clip):
    Colorization(ColorizationConfig(**SMALL))(EncodedClip(clip, segmenter), seeded())
    (seen,) = segmenter.calls
    assert seen.shape == (2 * 4, 3, 128, 128)
    torch.testing.assert_close(seen[:, :1].expand_as(seen), seen, atol=1e-4, rtol=0)


def test_the_last_frame_is_coloured_from_those_before(segmenter, clip, monkeypatch):
    asked = []
    module = "selfvos.objectives.colorization"

    def spy(target, references, colours, truth, *, temperature):
        asked.append((target.shape, references.shape, colours, truth))
        return target.sum() * 0

    monkeypatch.setattr(f"{module}.colorization_loss", spy)
    monkeypatch.setattr(f"{module}.ab_bins", lambda lab: lab[..., 0, :, :].long())
    monkeypatch.setattr(f"{module}.rgb_to_lab", lambda frames: frames)
    frames = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(2, 4, 3, 128, 128)
    still = EncodedClip(Clip(frames=frames, index=clip.index[:, :4]), segmenter)
    Colorization(ColorizationConfig(**SMALL))(still, seeded())
    target, references, colours, truth = asked[0]
    assert (target, references) == ((2, 64, 16, 16), (2, 3, 64, 16, 16))
    assert [colours[:, i].unique().tolist() for i in range(3)] == [[0], [1], [2]]
    assert truth.unique().tolist() == [3]


def test_frames_of_longer_clips_follow_each_other():
    frames = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(40, 6, 3, 1, 1)
    taken = consecutive_frames(frames, 4, seeded())[:, :, 0, 0, 0]
    assert (taken.diff(dim=1) == 1).all()
    assert set(taken[:, 0].tolist()) == {0, 1, 2}
    with pytest.raises(UsageError, match="4 frames are compared, got clips of 3"):
        consecutive_frames(frames[:, :3], 4, seeded())


def test_features_are_found_by_name(segmenter):
    features = segmenter.encode_frame(torch.rand(1, 3, 16, 16))
    assert feature_map(features, "base", 512) is features.base
    assert feature_map(features, "key", 128) is features.key
    assert feature_map(features, "layer2", 128) is features.stages["layer2"]
    with pytest.raises(UsageError, match="unknown feature 'layer9'; this network has key, base, layer1"):
        feature_map(features, "layer9", 512)


def test_a_head_that_does_not_fit_says_what_would(segmenter, clip):
    objective = Colorization(ColorizationConfig(feature="layer3", **SMALL))
    with pytest.raises(UsageError, match="'layer3' has 256 channels, the head takes 512; set feature_channels=256"):
        objective(EncodedClip(clip, segmenter), seeded())
    fitting = Colorization(ColorizationConfig(feature="layer3", feature_channels=256, **SMALL))
    assert fitting(EncodedClip(clip, segmenter), seeded()).total.isfinite()


def test_a_still_clip_is_learned(segmenter):
    scene = torch.rand(1, 1, 3, 8, 8, generator=seeded()).repeat_interleave(8, -1).repeat_interleave(8, -2)
    clip = EncodedClip(Clip(frames=scene.repeat(1, 2, 1, 1, 1), index=torch.arange(2)[None]), segmenter)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        objective = Colorization(ColorizationConfig(references=1, **SMALL))
    optimizer = torch.optim.Adam([*objective.parameters(), *segmenter.parameters()], lr=3e-3)
    losses = []
    for _ in range(30):
        loss = objective(clip, seeded()).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "settings", [{"references": 0}, {"temperature": 0.0}, {"feature_channels": 0}, {"head_width": 0}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="must be"):
        ColorizationConfig(**settings)
