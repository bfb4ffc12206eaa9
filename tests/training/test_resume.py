"""A run that was killed, anywhere, ends in the weights that it would have ended in."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from selfvos.models.weights import digest
from selfvos.settings import to_dict

STEPS = 12
PROGRAM = '''
"""Run a training again and again in processes of their own, each but the last killed at its step; folder by folder."""
import json, os, signal, sys, torch
from pathlib import Path
from selfvos.data.video_cache import build_video_cache
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.backbones.resnet import BasicBlock, ResNet, ResNetFactory
from selfvos.settings import from_dict
from selfvos.training.fit import Start, fit
from selfvos.training.settings import TrainConfig
from selfvos.types import Watching

class TinyResNet(ResNet):
    stem_channels = 8

BACKBONES.register("resnet-tiny")(ResNetFactory(BasicBlock, (1, 1, 1, 1), TinyResNet))
videos, cache, settings, plan = sys.argv[1:]
torch.set_num_threads(1)
config = from_dict(TrainConfig, json.loads(settings))
video_cache = build_video_cache([videos], cache=Path(cache), short_side_px=320)

def told(kill):
    steps, clustered = [], []
    def tell(stage, done, total, **facts):
        (clustered if stage == "pseudo masks" else steps).append(done)
        before = config.warmup.epochs * config.warmup.steps_per_epoch if stage == "joint" else 0
        if kill == [stage, done + before] or (stage == "pseudo masks" and kill == [stage, len(clustered)]):
            os.kill(os.getpid(), signal.SIGKILL)
    return Watching(tell)

for folder, kills in json.loads(plan):
    for kill in kills:
        child = os.fork()
        if not child:
            fit(config, video_cache, Path(folder), device=torch.device("cpu"), start=Start(resume=True),
                watch=told(kill))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) == bool(kill), (folder, kill, status)
'''


@pytest.fixture
def config(config):
    """Twelve steps, nine of them with three rounds of pseudo masks; checkpoints lie inside rounds too."""
    return replace(
        config,
        model=replace(config.model, backbone="resnet-tiny", key_channels=8),
        warmup=replace(config.warmup, epochs=1, steps_per_epoch=3),
        joint=replace(config.joint, epochs=3, steps_per_epoch=3),
        checkpoint_steps=2,
    )


def run(config, videos, cache, plan):
    """Do a plan: folders with the steps at which their runs are killed, one after another; None lets a run end."""
    arguments = [str(videos), str(cache), json.dumps(to_dict(config)), json.dumps(plan)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def outcome(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return digest(load_file(run / "weights.safetensors")), [(line["step"], line["loss"]) for line in lines]


def at(step):
    return ["warmup" if step <= 3 else "joint", step]


def test_one_run_killed_at_each_of_its_steps(config, videos, cache, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(config, videos, cache, [(str(whole), [None]), (str(killed), [*map(at, range(1, STEPS + 1)), None])])
    assert [step for step, _ in outcome(whole)[1]] == list(range(1, STEPS + 1))
    assert outcome(killed) == outcome(whole)


def test_a_run_killed_while_it_clusters_and_whose_maps_are_lost(config, videos, cache, tmp_path):
    """Inside a round its maps come again from the weights that it began with, not from the present ones."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(config, videos, cache, [(str(whole), [None])])
    # After the second of three videos; after the one that is left; in the middle of the second round.
    config = replace(config, checkpoint_steps=1)
    run(config, videos, cache, [(str(killed), [["pseudo masks", 2], ["pseudo masks", 1], at(9)])])
    damaged = sorted(killed.glob("pseudo_masks/round-001-*/*.maps"))
    damaged[0].unlink()
    damaged[1].write_bytes(damaged[1].read_bytes()[:-3])
    run(config, videos, cache, [(str(killed), [None])])
    assert outcome(killed) == outcome(whole)


@pytest.mark.slow
@pytest.mark.parametrize("decay", [None, 0.7])
def test_runs_killed_once_at_each_step(config, videos, cache, tmp_path, decay):
    config = replace(config, ema_decay=decay, checkpoint_steps=5)
    plan = [(str(tmp_path / f"killed-{step}"), [at(step), None]) for step in range(1, STEPS + 1)]
    run(config, videos, cache, [(str(tmp_path / "whole"), [None]), *plan])
    for folder, _ in plan:
        assert outcome(tmp_path / folder) == outcome(tmp_path / "whole"), folder
