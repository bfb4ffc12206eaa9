import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from selfvos.errors import Diverged, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest, load_weights
from selfvos.objectives.base import OBJECTIVES
from selfvos.settings import to_dict
from selfvos.storage import exclusive
from selfvos.training.checkpoint import latest_checkpoint
from selfvos.training.fit import fit
from selfvos.types import LossTerms

CPU = torch.device("cpu")
STEPS = 10
RUNNER = """
import json, sys, time, torch
from pathlib import Path
from selfvos.data.video_cache import build_video_cache
from selfvos.settings import from_dict
from selfvos.training.fit import fit
from selfvos.training.settings import TrainConfig

videos, cache, run, settings, pause = sys.argv[1:]
torch.set_num_threads(1)
video_cache = build_video_cache([videos], cache=Path(cache), short_side_px=320)
fit(from_dict(TrainConfig, json.loads(settings)), video_cache, Path(run), device=torch.device("cpu"), resume=True,
    watch=lambda report: time.sleep(float(pause)))
"""


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights_of(run):
    return digest(load_file(run / "weights.safetensors"))


def start(videos, cache, run, config, *, pause=0.0, command=(sys.executable, "-c", RUNNER), **kwargs):
    arguments = [str(videos), str(cache), str(run), json.dumps(to_dict(config)), str(pause)]
    return subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True, **kwargs)


def wait_for_steps(run, count, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        path = run / "metrics.jsonl"
        if path.exists() and len(path.read_text().splitlines()) >= count:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    pytest.fail("no progress")


def test_both_phases_run_with_fresh_pseudo_masks(config, video_cache, tmp_path):
    seen = []
    path = fit(config, video_cache, tmp_path, device=CPU, watch=seen.append)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert [line["phase"] for line in lines] == ["warmup"] * 4 + ["joint"] * 6
    assert all("l_seg" in line for line in lines[4:])
    assert len(list((tmp_path / "pseudo_masks").glob("round-*"))) == 3
    assert [report.stage for report in seen].count("pseudo masks") == 9
    assert json.loads((tmp_path / "settings.json").read_text()) == to_dict(config)
    model, card = load_weights(path)
    assert card.notes.steps == STEPS
    assert model.config == config.model


def test_a_run_that_another_process_trains_is_left_alone(config, video_cache, tmp_path):
    with exclusive(tmp_path / "run"), pytest.raises(UsageError, match="another process works on"):
        fit(config, video_cache, tmp_path / "run", device=CPU, resume=True)
    assert not (tmp_path / "run" / "settings.json").exists()


def test_the_mask_path_learns_in_the_joint_phase_alone(config, video_cache, tmp_path):
    names = ["mask_path.join.weight", "encoder.backbone.conv1.weight"]
    states = {}

    def remember(report):
        if (report.stage, report.done) in {("warmup", 1), ("warmup", 4), ("joint", 6)}:
            states[report.stage, report.done] = None

    fit(config, video_cache, tmp_path, device=CPU, watch=remember)
    assert len(states) == 3
    folders = sorted((tmp_path / "checkpoints").glob("step-*"))
    assert [folder.name for folder in folders] == ["step-0000009", "step-0000010"]
    early, late = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(not torch.equal(early[name], late[name]) for name in names)


def test_a_rate_of_zero_freezes_the_encoder_and_its_normalisation(config, video_cache, tmp_path):
    still = replace(
        config,
        warmup=replace(config.warmup, epochs=0),
        joint=replace(config.joint, optimizer=replace(config.joint.optimizer, lr=0.0)),
    )
    torch.manual_seed(0)
    model = Segmenter(config.model)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    head = model.mask_path.join.weight.detach().clone()
    fit(still, video_cache, tmp_path, device=CPU, start=model)
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.state_dict().items())
    assert not torch.equal(model.mask_path.join.weight, head)


def test_a_killed_run_ends_in_the_same_weights_bit_for_bit(config, videos, cache, tmp_path):
    whole = start(videos, cache, tmp_path / "whole", config)
    killed = tmp_path / "killed"
    for steps in (2, 8):
        process = start(videos, cache, killed, config, pause=0.1)
        wait_for_steps(killed, steps, process)
        process.kill()
        process.wait()
    last = start(videos, cache, killed, config)
    assert last.wait(timeout=200) == 0, last.stderr.read()
    assert whole.wait(timeout=200) == 0, whole.stderr.read()
    assert weights_of(killed) == weights_of(tmp_path / "whole")
    steps = [line["step"] for line in metrics(killed)]
    assert steps == list(range(1, STEPS + 1))
    losses = [[line["loss"] for line in metrics(tmp_path / name)] for name in ("whole", "killed")]
    assert losses[0] == losses[1]


def test_sigterm_saves_before_it_ends(config, videos, cache, tmp_path):
    process = start(videos, cache, tmp_path, config, pause=0.2)
    wait_for_steps(tmp_path, 2, process)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    assert "Interrupted: stopped after" in process.stderr.read()
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.position.total == len(metrics(tmp_path)) >= 2


def test_two_processes_agree(config, videos, cache, tmp_path):
    script = tmp_path / "runner.py"
    script.write_text(RUNNER)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29613", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = start(videos, cache, tmp_path / "run", config, command=torchrun, env=environment)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-2000:]
    lines = metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    load_weights(tmp_path / "run" / "weights.safetensors")


def test_a_folder_with_a_run_is_not_overwritten(config, video_cache, tmp_path):
    fit(config, video_cache, tmp_path, device=CPU)
    before = weights_of(tmp_path)
    with pytest.raises(UsageError, match="--resume"):
        fit(config, video_cache, tmp_path, device=CPU)
    fit(config, video_cache, tmp_path, device=CPU, resume=True)  # finished already: nothing to do
    assert weights_of(tmp_path) == before


def test_a_loss_that_stays_infinite_stops_the_run_and_keeps_the_checkpoint(config, video_cache, tmp_path, monkeypatch):
    kind = OBJECTIVES.get("l_short")
    plain = kind.forward
    calls = []

    def broken(self, clip, generator):
        calls.append(None)
        terms = plain(self, clip, generator)
        return terms if len(calls) <= 3 else LossTerms(total=terms.total * float("nan"), parts=terms.parts)

    monkeypatch.setattr(kind, "forward", broken)
    with pytest.raises(Diverged, match="4 steps"):
        fit(config, video_cache, tmp_path, device=CPU)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    tensors = load_file(found.folder / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point())
