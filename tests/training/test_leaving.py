"""A step that takes long is left when somebody asks, and the run goes on as if it had never been begun."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from selfvos.errors import Stopped
from selfvos.models.weights import digest
from selfvos.objectives.base import OBJECTIVES
from selfvos.stopping import StopFlag
from selfvos.training import leaving as module
from selfvos.training import pseudo_masks
from selfvos.training.checkpoint import latest_checkpoint
from selfvos.training.fit import Start, fit
from selfvos.training.leaving import leaving
from selfvos.types import Watching

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(module, "_EVERY_S", 0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tmp_path_factory.mktemp("whole")


def weights_of(run) -> str:
    return digest(load_file(run / "weights.safetensors"))


def stop_at_call(flag, number, *, late):
    """Make a function that asks for a stop before or after its so-manieth call."""
    calls = []

    def wrapped(plain):
        def function(*args, **kwargs):
            calls.append(None)
            if len(calls) == number and not late:
                flag.stop()
            result = plain(*args, **kwargs)
            if len(calls) == number:
                flag.stop()
            return result

        return function

    return wrapped


def stop_in_step(monkeypatch, flag, number, *, late):
    kind = OBJECTIVES.get("l_short")
    monkeypatch.setattr(kind, "forward", stop_at_call(flag, number, late=late)(kind.forward))


@pytest.mark.parametrize("late", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("step", [3, 7], ids=["warmup", "joint"])
def test_a_run_goes_on_bit_for_bit_after_a_step_that_was_left(
    config, video_cache, whole, tmp_path, monkeypatch, step, late
):
    if not (whole / "weights.safetensors").exists():
        fit(config, video_cache, whole, device=CPU)
    flag = StopFlag()
    with monkeypatch.context() as patched:
        stop_in_step(patched, flag, step, late=late)
        with pytest.raises(Stopped, match=f"stopped after {step - 1} steps"):
            fit(config, video_cache, tmp_path, device=CPU, watch=Watching(asked=flag.stopped))
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.position.total == step - 1
    fit(config, video_cache, tmp_path, device=CPU, start=Start(resume=True))
    assert weights_of(tmp_path) == weights_of(whole)


def test_a_stop_in_the_first_step_leaves_a_run_to_begin(config, video_cache, tmp_path, monkeypatch):
    flag = StopFlag()
    stop_in_step(monkeypatch, flag, 1, late=True)
    with pytest.raises(Stopped, match="stopped after 0 steps"):
        fit(config, video_cache, tmp_path, device=CPU, watch=Watching(asked=flag.stopped))
    assert latest_checkpoint(tmp_path) is None


def test_clustering_is_left_between_two_layers(config, video_cache, tmp_path, monkeypatch):
    flag = StopFlag()
    encode = stop_at_call(flag, 2, late=False)(pseudo_masks.encode_range)
    monkeypatch.setattr(pseudo_masks, "encode_range", encode)
    with pytest.raises(Stopped, match="stopped after 4 steps"):
        fit(config, video_cache, tmp_path, device=CPU, watch=Watching(asked=flag.stopped))
    assert len(list((tmp_path / "pseudo_masks").glob("round-000-*/*.maps"))) == 1
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.position.total == 4


def test_a_step_that_ends_soon_is_kept(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_S", 60.0)
    layer = nn.Linear(2, 2)
    with leaving(layer, Watching(asked=lambda: True)):
        layer(torch.ones(1, 2)).sum().backward()
    assert layer.weight.grad is not None


def test_nothing_stays_on_the_layers():
    layer = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with leaving(layer, Watching(asked=lambda: True)), pytest.raises(Stopped):
        layer(torch.ones(1, 2))
    layer(torch.ones(1, 2)).sum().backward()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sigterm_ends_a_training_of_resnet50_within_ten_seconds_with_a_checkpoint(tmp_path):
    """A preempted job has so long; on two cores one of its steps takes several times that."""
    for number in range(4):
        folder = tmp_path / "videos" / f"noise{number}"
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 255, (300, 340, 3), dtype=np.uint8)
        for t in range(20):
            Image.fromarray(np.roll(pixels, 3 * t, axis=1)).save(folder / f"{t:05d}.png")
    run, program = tmp_path / "run", [sys.executable, "-c", "from selfvos.cli import main; main()"]
    command = ["train", "mask_vos_resnet50", "--videos", str(tmp_path / "videos"), "--out", str(run), "--device", "cpu"]
    settings = ["--set", "warmup.batch_clips=4", "--set", "warmup.steps_per_epoch=100"]
    process = subprocess.Popen([*program, *command, *settings], stderr=subprocess.PIPE, text=True)
    log = run / "metrics.jsonl"
    while not (log.exists() and log.read_text().endswith("\n")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    step_s = json.loads(log.read_text().splitlines()[0])["seconds"]
    time.sleep(min(1.0, step_s / 4))
    process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    _, errors = process.communicate(timeout=600)
    took = time.monotonic() - begin
    print(f"a step takes {step_s:.1f} s; checkpoint and end {took:.1f} s after the signal")
    assert process.returncode == 143, errors
    found = latest_checkpoint(run)
    assert found is not None
    assert found.position.total == len(log.read_text().splitlines()) >= 1
    assert took < 10
