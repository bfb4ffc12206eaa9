import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.l_seg import LSeg, LSegConfig, pixel_loss, segmentation_loss, with_perturbations
from selfvos.ops.whitening import WhitenConfig
from selfvos.types import Clip

NONE = torch.Generator()


def one_clip(masks):
    torch.manual_seed(1)
    b, t = masks.shape[:2]
    return Clip(frames=torch.rand(b, t, 3, 32, 32), index=torch.arange(t).repeat(b, 1), masks=masks)


def squares(b=1, t=3):
    masks = torch.zeros(b, t, 32, 32, dtype=torch.long)
    masks[..., 4:14, 4:14] = 1
    masks[..., 18:30, 18:30] = 2
    return masks


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim", key_channels=16))


def test_the_loss_is_that_of_the_authors_public_code_but_for_its_clamp():
    """The authors' public code keeps probabilities within 1e-7 of 0 and 1, which gives 3.461093; ours needs none."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 2, 6, 6, generator=generator)
    labels = torch.randint(3, (2, 6, 6), generator=generator)
    loss = segmentation_loss(logits, labels, torch.ones(2, 2, dtype=torch.bool))
    assert loss.item() == pytest.approx(3.461081, rel=2e-6)
    objects = logits.sigmoid()
    clamped = torch.cat([(1 - objects).prod(dim=1, keepdim=True), objects], dim=1).clamp(1e-7, 1 - 1e-7)
    as_published = torch.nn.functional.cross_entropy(clamped.logit(), labels)
    assert as_published.item() == pytest.approx(3.461093, rel=2e-6)


def test_sure_and_right_costs_nothing_and_sure_and_wrong_a_lot():
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[:, :2] = 1
    present = torch.ones(1, 1, dtype=torch.bool)
    right = torch.where(labels == 1, 12.0, -12.0)[:, None]
    assert segmentation_loss(right, labels, present) < 1e-4
    assert segmentation_loss(-right, labels, present) > 10


def test_undecided_costs_what_two_equal_odds_cost():
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    loss = segmentation_loss(torch.zeros(1, 1, 4, 4), labels, torch.ones(1, 1, dtype=torch.bool))
    assert math.isclose(float(loss), math.log(2), rel_tol=1e-5)


def test_absent_objects_and_clips_without_objects_do_not_count():
    labels = torch.zeros(2, 4, 4, dtype=torch.long)
    labels[0, :2] = 1
    logits = torch.randn(2, 2, 4, 4)
    present = torch.tensor([[True, False], [False, False]])
    alone = segmentation_loss(logits[:1, :1], labels[:1], present[:1, :1])
    torch.testing.assert_close(segmentation_loss(logits, labels, present), alone, atol=1e-4, rtol=1e-4)
    assert segmentation_loss(logits[1:], labels[1:], present[1:]) == 0


def test_gradient_reaches_encoder_v_and_d(model):
    model.zero_grad()
    LSeg(LSegConfig())(EncodedClip(one_clip(squares()), model), NONE).total.backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    # D's last layer starts at zero: what lies before it learns from the second step on.
    assert "mask_path.head.weight" in reached
    torch.nn.init.normal_(model.mask_path.head.weight, std=0.1)
    model.zero_grad()
    LSeg(LSegConfig())(EncodedClip(one_clip(squares()), model), NONE).total.backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    for name in ("encoder.backbone.conv1.weight", "mask_path.mask_stem.0.weight", "mask_path.join.weight"):
        assert name in reached
    assert "encoder.key_head.3.weight" in reached


def test_what_is_left_out_does_not_count(model):
    """Fewer frames are a shorter clip, fewer objects a clip without the others, and k that reaches all is all."""
    still = deepcopy(model).eval()

    def loss(masks, **settings):
        terms = LSeg(LSegConfig(**settings))(EncodedClip(one_clip(masks), still), NONE)
        torch.testing.assert_close(terms.total.detach(), terms.parts["l_seg"])
        return terms.total.item()

    whole, alone = squares(b=2), squares(b=2).where(squares(b=2) == 1, 0)
    assert loss(whole, objects=1) == pytest.approx(loss(alone, objects=1), rel=1e-6)
    assert loss(alone) == pytest.approx(loss(alone, objects=1), rel=1e-4)
    assert loss(whole) != pytest.approx(loss(alone), rel=1e-3)
    late = whole.clone()
    late[:, 2] = late[:, 2].flip(-1)
    assert loss(late, frames=2) == loss(whole, frames=2)
    assert loss(late) != pytest.approx(loss(whole), rel=1e-3)
    assert loss(whole, top_k=2 * 4 * 4) == pytest.approx(loss(whole), rel=1e-5)
    assert loss(whole, top_k=1) != pytest.approx(loss(whole), rel=1e-3)


@pytest.mark.parametrize("feature", ["layer3", "layer2+layer3"])
def test_stages_are_matched_and_whitened(model, feature):
    """Each choice of what is matched is another read-out, and so another loss that learns."""
    config = LSegConfig(feature=feature)
    losses = [
        LSeg(each)(EncodedClip(one_clip(squares(b=2)), model), NONE).total
        for each in (config, replace(config, whiten=WhitenConfig(channels=12)), LSegConfig())
    ]
    assert len({loss.item() for loss in losses}) == 3
    assert all(loss.isfinite() and loss.requires_grad for loss in losses)


@pytest.mark.parametrize("rounds", [1, 2])
def test_every_round_is_scored(model, rounds, monkeypatch):
    """The total is the mean of what `pixel_loss` says after each round of both predicted frames."""
    said = []

    def spy(*arguments):
        said.append(pixel_loss(*arguments))
        return said[-1]

    monkeypatch.setattr("selfvos.objectives.l_seg.pixel_loss", spy)
    total = LSeg(LSegConfig(rounds=rounds))(EncodedClip(one_clip(squares()), model), NONE).total
    assert len(said) == 2 * rounds
    torch.testing.assert_close(total, torch.stack(said).mean())


def test_a_batch_without_any_object_gives_zero_and_still_a_gradient(model):
    clip = one_clip(torch.zeros(2, 3, 32, 32, dtype=torch.long))
    terms = LSeg(LSegConfig())(EncodedClip(clip, model), NONE)
    assert terms.total == 0
    terms.total.backward()


def test_clips_that_are_too_short_or_bare_are_refused(model):
    with pytest.raises(ValueError, match="at least 3 frames"):
        LSeg(LSegConfig())(EncodedClip(one_clip(squares(t=2)), model), NONE)
    clip = one_clip(squares())
    bare = Clip(frames=clip.frames, index=clip.index)
    with pytest.raises(ValueError, match="pseudo masks"):
        LSeg(LSegConfig())(EncodedClip(bare, model), NONE)


def test_its_own_predictions_are_remembered_where_asked(model):
    """With two frames nothing predicted is ever remembered; with three, the last one's loss changes."""

    def loss(**settings):
        return LSeg(LSegConfig(**settings))(EncodedClip(one_clip(squares()), model), NONE).total

    assert loss(frames=2) == loss(frames=2, own_memory=True)
    assert loss() != loss(own_memory=True)


def test_flaws_are_in_memory_and_not_in_the_target(model):
    """A flawed first mask costs more than a right one, and without objects there is nothing to flaw."""

    def loss(masks, **settings):
        draws = torch.Generator().manual_seed(0)
        return LSeg(LSegConfig(**settings))(EncodedClip(one_clip(masks), model), draws).total

    assert loss(squares(), perturb=1.0) > loss(squares())
    assert loss(torch.zeros_like(squares()), perturb=1.0) == 0
    with pytest.raises(UsageError, match="perturb"):
        LSegConfig(perturb=1.5)


def test_flaws_may_be_in_what_is_remembered_after_the_first_mask(model):
    """With two frames nothing but the first is remembered, and stays true; with three, the second has flaws."""

    def loss(frames, **settings):
        draws = torch.Generator().manual_seed(0)
        return LSeg(LSegConfig(frames=frames, **settings))(EncodedClip(one_clip(squares()), model), draws).total

    assert loss(2, perturb=1.0, perturbed="later") == loss(2)
    assert loss(3, perturb=1.0, perturbed="later") > loss(3)


def test_where_there_is_no_flaw_probabilities_stay():
    soft = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    assert torch.equal(with_perturbations(soft, 0.0, NONE), soft)
    sure = torch.nn.functional.one_hot(squares()[:, 0].clamp(max=1), 2).movedim(-1, 1).float()
    masks = (sure * 0.8 + 0.1).expand(4, -1, -1, -1)
    found = with_perturbations(masks, 1.0, torch.Generator().manual_seed(0))
    changed = (found != masks).any(dim=1)
    assert changed.any()
    assert not changed.all()
    assert set(found[:, 1][changed].tolist()) <= {0.0, 1.0}


def test_what_is_matched_decides_which_head_learns(model):
    model.zero_grad()
    LSeg(LSegConfig(feature="layer3"))(EncodedClip(one_clip(squares()), model), NONE).total.backward()
    assert model.encoder.key_head[3].weight.grad is None


def test_each_clip_of_a_batch_is_whitened_by_its_own_first_frame(model):
    """As in tracking, where every video begins anew: clips do not share statistics."""
    still = deepcopy(model).eval()  # in training, batches share statistics
    config = LSegConfig(feature="layer3", whiten=WhitenConfig())
    clip = one_clip(squares(b=2))

    def single(b):
        part = slice(b, b + 1)
        return Clip(frames=clip.frames[part], index=clip.index[part], masks=clip.masks[part])

    alone = [LSeg(config)(EncodedClip(single(b), still), NONE) for b in range(2)]
    together = LSeg(config)(EncodedClip(clip, still), NONE).total
    torch.testing.assert_close(together, (alone[0].total + alone[1].total) / 2, rtol=1e-4, atol=1e-6)
    plain = LSeg(LSegConfig(feature="layer3"))(EncodedClip(clip, still), NONE).total
    assert not torch.isclose(together, plain, rtol=1e-4)
