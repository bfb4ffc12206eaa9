import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from selfvos.data.clips import cut_clip, finish_batch, frame_ranges, join_clips, load_clip, plan_batch
from selfvos.errors import UsageError
from selfvos.models.precision import autocast, decide
from selfvos.models.segmenter import Segmenter
from selfvos.ops.paste import PasteConfig
from selfvos.training.metrics_log import MetricsLog
from selfvos.training.optimiser import make_optimizer, rate_factor, set_rates
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig
from selfvos.training.step import TrainingStep
from selfvos.training.tensorboard_log import TensorBoardLog, draw_clips

CPU = torch.device("cpu")


def test_a_resumed_journal_drops_what_lies_beyond_its_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4, "lo')
    journal = MetricsLog(path, keep_until=2)
    journal.write(step=3, loss=0.5)
    journal.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_biases_learn_twice_as_fast_without_decay(config):
    model = Segmenter(config.model)
    settings = OptimizerConfig(lr=1e-3, mask_lr=1e-2)
    optimizer = make_optimizer(model, torch.nn.ModuleList(), settings)
    facts = [(g["lr"], g["weight_decay"], {p.ndim > 1 for p in g["params"]}) for g in optimizer.param_groups]
    assert facts == [(1e-3, 5e-4, {True}), (2e-3, 0.0, {False}), (1e-2, 5e-4, {True}), (2e-2, 0.0, {False})]
    learned = {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert learned == {id(p) for p in model.parameters()}
    set_rates(optimizer, 0.5)
    assert [g["lr"] for g in optimizer.param_groups] == [5e-4, 1e-3, 5e-3, 1e-2]


def test_frozen_parts_are_left_out(config):
    model = Segmenter(config.model)
    assert model.mask_path is not None
    model.mask_path.requires_grad_(False)
    optimizer = make_optimizer(model, torch.nn.ModuleList(), OptimizerConfig())
    learned = {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert learned == {id(p) for p in model.encoder.parameters()}


@pytest.mark.parametrize(
    ("settings", "step", "expected"),
    [
        ({}, 0, 1.0),
        ({"halve_epochs": 2}, 19, 1.0),
        ({"halve_epochs": 2}, 20, 0.5),
        ({"halve_epochs": 2}, 45, 0.25),
        ({"schedule": "cosine"}, 0, 1.0),
        ({"schedule": "cosine"}, 50, 0.505),
        ({"schedule": "cosine"}, 100, 0.01),
        ({"warm_steps": 10}, 4, 0.5),
    ],
)
def test_rates(settings, step, expected):
    factor = rate_factor(OptimizerConfig(**settings), step=step, steps_per_epoch=10, steps=100)
    assert factor == pytest.approx(expected)


def test_precision_is_measured_or_taken_as_told():
    assert decide("bfloat16", CPU) == "bfloat16"
    assert decide("auto", CPU) in {"float32", "bfloat16"}
    layer = torch.nn.Linear(2, 2)
    with autocast("bfloat16", CPU):
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
    with autocast("float32", CPU):
        assert layer(torch.ones(1, 2)).dtype == torch.float32


def test_an_objectives_wrong_setting_names_the_objective(config):
    with pytest.raises(UsageError, match=r"objective l_seg: .*did you mean 'rounds'"):
        TrainingStep(Segmenter(config.model), (ObjectiveSpec(name="l_seg", settings={"round": 2}),))


def test_an_objective_keeps_what_it_learned_when_a_phase_ends(config):
    model = Segmenter(config.model)
    warmup = (ObjectiveSpec(name="dul"), ObjectiveSpec(name="colorization", settings={"feature": "layer2"}))
    first = TrainingStep(model, warmup)
    joint = TrainingStep(model, (ObjectiveSpec(name="l_seg"), replace(warmup[1], weight=0.5)))
    other = TrainingStep(model, (replace(warmup[1], settings={"feature": "layer1"}),))
    before = [parameter.clone() for parameter in other.objectives.parameters()]
    wanted = first.objectives[1].state_dict()
    assert wanted
    for step in (joint, other):
        step.inherit(first.objectives.state_dict(), warmup)
    for name, value in joint.objectives[1].state_dict().items():
        assert torch.equal(value, wanted[name])
    for parameter, old in zip(other.objectives.parameters(), before, strict=True):
        assert torch.equal(parameter, old), "under other settings it is another objective"


def test_a_phase_needs_objectives():
    with pytest.raises(UsageError, match="at least one objective"):
        PhaseConfig(epochs=1, batch_clips=1, objectives=())


@pytest.fixture
def clip(video_cache, config):
    plans = plan_batch(frame_ranges(video_cache, config.clips), config.clips, seed=0, step=0, batch=2)
    maps = np.zeros((3, 8, 12), dtype=np.uint8)
    maps[:, 2:6, 2:7] = 1
    raws = [load_clip(video_cache, plan, maps) for plan in plans]
    generator = torch.Generator().manual_seed(0)
    objects = config.pseudo_masks.objects
    clips = [cut_clip(raw, config.clips, objects, generator=generator, device=CPU) for raw in raws]
    return finish_batch(join_clips(clips), objects, PasteConfig(), generator=generator)


def test_pictures_show_frames_affinity_masks_and_prediction(config, clip):
    model = Segmenter(config.model).train()
    side = config.clips.crop_px
    assert draw_clips(model, clip).shape == (2 * side, 5 * side, 3)
    assert model.training


def test_the_board_writes_where_tensorboard_is_installed(config, clip, tmp_path):
    pytest.importorskip("tensorboard", reason="the logs extra is not installed")
    board = TensorBoardLog(tmp_path)
    board.scalars(1, {"loss": 2.0})
    board.picture(1, draw_clips(Segmenter(config.model), clip))
    board.close()
    (events,) = tmp_path.glob("events.*")
    assert events.stat().st_size > 1000
