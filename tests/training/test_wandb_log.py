"""Weights & Biases: a double of its package, and its own one, offline, where it is installed."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from selfvos import api
from selfvos.errors import MissingExtra, UsageError
from selfvos.settings import LATER, to_dict, update
from selfvos.training.fit import fit
from selfvos.training.wandb_log import WandbLog


class Wandb:
    """What is used of `wandb`."""

    def __init__(self, error=None):
        self.begun, self.logged, self.finished, self._error = [], [], 0, error
        self.errors = SimpleNamespace(Error=type("Error", (Exception,), {}))
        self.Settings = dict
        self.Image = lambda rgb: ("image", rgb.shape)

    def init(self, **about):
        if self._error:
            raise self.errors.Error(self._error)
        self.begun.append(about)
        return self

    def log(self, numbers, step):
        self.logged.append((step, numbers))

    def finish(self):
        self.finished += 1


@pytest.fixture
def double(monkeypatch):
    double = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", double)
    return double


def test_without_a_project_nothing_is_touched(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    board = WandbLog("", tmp_path, {})
    board.scalars(1, {"loss": 1.0})
    board.picture(1, np.zeros((2, 2, 3), np.uint8))
    board.close()
    assert not board.writes
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingExtra, match=r"selfvos\[wandb\]"):
        WandbLog("mine", tmp_path, {})


def test_a_run_that_goes_on_is_the_same_run_there(double, tmp_path):
    for step in (1, 2):
        board = WandbLog("mine", tmp_path / "first", {"seed": 1})
        board.scalars(step, {"loss": 0.5})
        board.picture(step, np.zeros((2, 3, 3), np.uint8))
        board.close()
    one, two = double.begun
    assert one == two
    assert (one["project"], one["name"], one["config"], one["resume"]) == ("mine", "first", {"seed": 1}, "allow")
    assert double.logged[:2] == [(1, {"loss": 0.5}), (1, {"clips": ("image", (2, 3, 3))})]
    assert double.finished == 2
    WandbLog("mine", tmp_path / "second", {})
    assert double.begun[-1]["id"] != one["id"]


def test_what_it_says_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", Wandb(error="no key\nlog in"))
    with pytest.raises(UsageError, match="no key log in; run 'wandb login'"):
        WandbLog("mine", tmp_path, {})


def test_settings_of_runs_before_it_came_are_whole_all_the_same():
    old = to_dict(api.recipe("mask_vos_resnet18_small", ["seed=4"]))
    del old["wandb"]
    assert update(api.recipe("crw_resnet18"), old) == api.recipe("mask_vos_resnet18_small", ["seed=4"])
    assert LATER


def test_a_training_writes_there_what_it_writes_here(double, config, video_cache, tmp_path):
    short = replace(config, joint=replace(config.joint, epochs=0), wandb="mine", picture_steps=2)
    fit(short, video_cache, tmp_path / "run", device=torch.device("cpu"))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    numbers = {step: told for step, told in double.logged if "clips" not in told}
    assert [line["step"] for line in lines] == sorted(numbers)
    assert all(numbers[line["step"]]["loss"] == line["loss"] for line in lines)
    assert {step for step, told in double.logged if "clips" in told} == {2, 4}
    assert double.begun[0]["config"] == to_dict(short)
    assert double.finished == 1


def test_the_real_package_writes_offline(tmp_path):
    pytest.importorskip("wandb", reason='no wandb: pip install "selfvos[wandb]"')
    code = """
import sys, numpy as np
from pathlib import Path
from selfvos.training.wandb_log import WandbLog
run = Path(sys.argv[1])
for steps in ((1, 2), (3,)):
    board = WandbLog("mine", run, {"joint": {"epochs": 2}})
    for step in steps:
        board.scalars(step, {"loss": 1 / step})
        board.picture(step, np.zeros((8, 8, 3), np.uint8))
    board.close()
"""
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_CACHE_DIR": str(tmp_path / "c")}
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    kept = list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert 1 <= len(kept) <= 2
    assert sum(path.stat().st_size for path in kept) > 300
    (id,) = {path.stem for path in kept}
    assert id == "run-" + json.loads((tmp_path / "run" / "wandb.json").read_text())["id"]
