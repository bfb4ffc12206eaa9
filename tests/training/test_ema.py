from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from selfvos.errors import UsageError
from selfvos.models.weights import load_weights
from selfvos.training.checkpoint import latest_checkpoint
from selfvos.training.ema import WeightAverage
from selfvos.training.fit import Start, fit
from selfvos.types import Watching

CPU = torch.device("cpu")


class OneWeight(nn.Module):
    """A convolution of one weight, and normalisation."""

    def __init__(self, value):
        super().__init__()
        self.scale, self.norm = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1)
        self.set(value)

    def forward(self, x):
        return self.norm(self.scale(x))

    @torch.no_grad()
    def set(self, value):
        self.scale.weight.fill_(value)

    @property
    def weight(self):
        return self.scale.weight.item()


def first_convolution(model):
    return model.state_dict()["encoder.backbone.conv1.weight"].clone()


def averaged(model, average):
    with average.applied(model):
        return {name: value.clone() for name, value in model.state_dict().items()}


def test_early_updates_weigh_much_and_later_ones_as_the_decay_says():
    model = OneWeight(0.0)
    average = WeightAverage(model, decay=0.3)
    expected = 0.0
    for step, keep in enumerate((2 / 11, 3 / 12, 0.3, 0.3), start=1):
        model.set(step)
        average.update(model)
        expected = keep * expected + (1 - keep) * step
        assert averaged(model, average)["scale.weight"].item() == pytest.approx(expected)


def test_normalisation_statistics_are_averaged_and_its_counter_is_copied():
    model = OneWeight(1.0).train()
    average = WeightAverage(model, decay=0.5)
    model(torch.full((1, 1, 4, 4), 10.0))
    average.update(model)
    mean = averaged(model, average)
    assert mean["norm.running_mean"].item() == pytest.approx(
        (1 - 2 / 11) * model.state_dict()["norm.running_mean"].item()
    )
    assert mean["norm.num_batches_tracked"] == model.norm.num_batches_tracked == 1


def test_the_network_gets_its_own_weights_back():
    model = OneWeight(3.0)
    average = WeightAverage(OneWeight(1.0), decay=0.9)
    with average.applied(model):
        assert model.weight == 1.0
    assert model.weight == 3.0


def test_settling_begins_a_new_mean_at_the_old_one():
    model = OneWeight(0.0)
    average = WeightAverage(model, decay=0.9)
    model.set(11.0)
    average.update(model)
    average.settle(model)
    assert model.weight == pytest.approx(9.0)
    assert average.updates == 0


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0])
def test_a_decay_out_of_range_is_refused(config, decay):
    with pytest.raises(UsageError, match="ema_decay"):
        replace(config, ema_decay=decay)


def test_a_run_ends_and_stops_with_the_mean_of_its_weights(config, video_cache, tmp_path, monkeypatch):
    """One phase: the mean is worked out here from the weights after every step."""
    alone = replace(config, joint=replace(config.joint, epochs=0), ema_decay=0.6)
    seen = []
    update = WeightAverage.update

    def watched(self, model):
        seen.append(first_convolution(model))
        update(self, model)

    begin = []
    made = WeightAverage.__init__

    def watched_start(self, model, decay):
        begin.append(first_convolution(model))
        made(self, model, decay)

    monkeypatch.setattr(WeightAverage, "update", watched)
    monkeypatch.setattr(WeightAverage, "__init__", watched_start)
    path = fit(alone, video_cache, tmp_path, device=CPU)
    mean = begin[0]
    for number, weight in enumerate(seen, start=1):
        mean = torch.lerp(mean, weight, 1 - min(0.6, (1 + number) / (10 + number)))
    assert len(seen) == 4
    ended = first_convolution(load_weights(path)[0])
    assert torch.allclose(ended, mean, atol=1e-6)
    assert not torch.allclose(ended, seen[-1], atol=1e-6)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    stored = load_file(found.folder / "model.safetensors")["encoder.backbone.conv1.weight"]
    assert torch.equal(stored, ended)


def test_a_run_that_was_stopped_goes_on_exactly(config, video_cache, tmp_path):
    averaging = replace(config, ema_decay=0.7)
    whole = fit(averaging, video_cache, tmp_path / "whole", device=CPU)

    def killed_at(total):
        def told(stage, done, _, **losses):
            if stage != "pseudo masks" and done + (4 if stage == "joint" else 0) == total:
                raise KeyboardInterrupt

        return Watching(told)

    # Inside the first phase, at its end, and inside the second; checkpoints lie at 3, 4, 6, 9 and 10.
    resume = Start(resume=True)
    for total in (4, 5, 8):
        with pytest.raises(KeyboardInterrupt):
            fit(averaging, video_cache, tmp_path / "cut", device=CPU, start=resume, watch=killed_at(total))
    cut = fit(averaging, video_cache, tmp_path / "cut", device=CPU, start=resume)
    one, other = load_file(whole), load_file(cut)
    assert all(torch.equal(one[name], other[name]) for name in one)
