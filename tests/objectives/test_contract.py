"""What every registered objective keeps to. Objectives that learn from masks are tested beside their own code."""

import dataclasses
from dataclasses import replace

import pytest
import torch

from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.settings import from_dict, to_dict
from selfvos.types import Clip, LossTerms

WITHOUT_MASKS = [name for name in OBJECTIVES.names() if not OBJECTIVES.get(name).needs_masks]


def build(name: str, segmenter) -> Objective:
    """Make an objective with its default settings; learned heads start alike each time."""
    kind = OBJECTIVES.get(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        objective = kind(kind.Config())
        objective.attach(segmenter)
        return objective


def score(objective: Objective, segmenter, clip: Clip, seed: int = 0) -> LossTerms:
    return objective(EncodedClip(clip, segmenter), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_settings_are_frozen_have_defaults_and_survive_text(name):
    kind = OBJECTIVES.get(name)
    config = kind.Config()
    assert kind.Config.__dataclass_params__.frozen
    assert from_dict(kind.Config, to_dict(config)) == config
    assert all(field.kw_only for field in dataclasses.fields(config))


@pytest.mark.parametrize("name", WITHOUT_MASKS)
def test_the_loss_is_a_finite_scalar_and_teaches_the_encoder(name, segmenter, clip):
    terms = score(build(name, segmenter), segmenter, clip)
    assert terms.total.shape == ()
    assert terms.total.isfinite()
    terms.total.backward()
    gradients = [parameter.grad for parameter in segmenter.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0
    assert segmenter.layer1.weight.grad is not None


@pytest.mark.parametrize("name", WITHOUT_MASKS)
def test_the_generator_alone_decides(name, segmenter, clip):
    objective = build(name, segmenter)
    first = score(objective, segmenter, clip, seed=1).total
    torch.rand(1)  # the global generator must not matter
    assert torch.equal(first, score(objective, segmenter, clip, seed=1).total)
    assert any(score(objective, segmenter, clip, seed=seed).total != first for seed in range(2, 8))


@pytest.mark.parametrize("name", WITHOUT_MASKS)
def test_a_single_frame_is_refused(name, segmenter, clip):
    single = replace(clip, frames=clip.frames[:, :1], index=clip.index[:, :1])
    with pytest.raises(ValueError, match="frame"):
        score(build(name, segmenter), segmenter, single)


@pytest.mark.parametrize("name", WITHOUT_MASKS)
def test_the_total_is_the_weighted_sum_of_its_parts(name, segmenter, clip):
    """A part called `x` counts `config.x_weight` times, or once where there is no such setting."""
    objective = build(name, segmenter)
    terms = score(objective, segmenter, clip)
    assert terms.parts
    assert not any(part.requires_grad for part in terms.parts.values())
    expected = sum(getattr(objective.config, f"{part}_weight", 1.0) * value for part, value in terms.parts.items())
    torch.testing.assert_close(terms.total.detach(), expected)
