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
from selfvos.training.fit import Start, fit
from selfvos.types import LossTerms, Watching

CPU = torch.device("cpu")
STEPS = 10
RUNNER = """
import json, sys, time, torch
from pathlib import Path
from selfvos.data.video_cache import build_video_cache
from selfvos.settings import from_dict
from selfvos.stopping import stop_on_signals
from selfvos.training.fit import Start, fit
from selfvos.training.settings import TrainConfig
from selfvos.types import Watching

videos, cache, run, settings, pause = sys.argv[1:]
torch.set_num_threads(1)
video_cache = build_video_cache([videos], cache=Path(cache), short_side_px=320)
with stop_on_signals() as flag:
    fit(from_dict(TrainConfig, json.loads(settings)), video_cache, Path(run), device=torch.device("cpu"),
        start=Start(resume=True), watch=Watching(lambda *_, **__: time.sleep(float(pause)), flag.stopped))
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
    watch = Watching(lambda *told, **facts: seen.append((*told, facts)))
    path = fit(config, video_cache, tmp_path, device=CPU, watch=watch)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert [line["phase"] for line in lines] == ["warmup"] * 4 + ["joint"] * 6
    assert all("l_seg" in line for line in lines[4:])
    assert len(list((tmp_path / "pseudo_masks").glob("round-*"))) == 3
    assert [told[:3] for told in seen if told[0] == "pseudo masks"] == [("pseudo masks", n, 3) for n in (1, 2, 3)] * 3
    steps = [told for told in seen if told[0] != "pseudo masks"]
    assert [told[:3] for told in steps[:4]] == [("warmup", n, 4) for n in (1, 2, 3, 4)]
    assert [told[3]["loss"] for told in steps] == [line["loss"] for line in lines]
    assert json.loads((tmp_path / "settings.json").read_text()) == to_dict(config)
    model, card = load_weights(path)
    assert card.notes.steps == STEPS
    assert model.config == config.model


def test_a_run_that_another_process_trains_is_left_alone(config, video_cache, tmp_path):
    with exclusive(tmp_path / "run"), pytest.raises(UsageError, match="another process works on"):
        fit(config, video_cache, tmp_path / "run", device=CPU, start=Start(resume=True))
    assert not (tmp_path / "run" / "settings.json").exists()


def test_the_mask_path_learns_in_the_joint_phase_alone(config, video_cache, tmp_path):
    """Their weights before any step, after the warm-up, and after the joint phase."""
    torch.manual_seed(config.seed)
    first = {name: value.clone() for name, value in Segmenter(config.model).state_dict().items()}
    warm, joint = tmp_path / "warm", tmp_path / "joint"
    after_warmup = load_file(fit(replace(config, joint=replace(config.joint, epochs=0)), video_cache, warm, device=CPU))
    after_joint = load_file(fit(config, video_cache, joint, device=CPU))
    mask_path = [name for name in first if name.startswith("mask_path.") and first[name].is_floating_point()]
    assert len(mask_path) > 10
    assert all(torch.equal(first[name], after_warmup[name]) for name in mask_path)
    assert not torch.equal(first["encoder.backbone.conv1.weight"], after_warmup["encoder.backbone.conv1.weight"])
    weights = [name for name in mask_path if first[name].ndim > 1]
    assert all(not torch.equal(after_warmup[name], after_joint[name]) for name in weights)


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
    fit(still, video_cache, tmp_path, device=CPU, start=Start(network=model))
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
    assert "Stopped: stopped after" in process.stderr.read()
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
    fit(config, video_cache, tmp_path, device=CPU, start=Start(resume=True))  # finished already: nothing to do
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
