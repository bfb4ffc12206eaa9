"""However many processes share a run, it learns the same from the same batch."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from selfvos.errors import UsageError
from selfvos.ops.clustering import ClusterConfig
from selfvos.settings import to_dict
from selfvos.training.distributed import World
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig

TOLERANCE = 1e-5
SIZES = (1, 2, 4)
SOON = 5
"""Seconds after which a rank has seen that another is gone."""
NO_MATTER = {"encoder.key_head.0.bias", "encoder.key_head.1.running_mean"}
"""Normalisation takes the bias away again: its true gradient is zero, and Adam makes steps of what rounding leaves."""
RATE = 1e-5
"""Of the paper's joint phase, with a warm-up: Adam's first steps are as large where the gradient is nearly nothing and
rounding decides its sign."""
PROGRAM = '''
"""Do runs one after another, each with as many processes as its plan says, all of them forks of this one."""
import json, os, socket, sys, torch
from dataclasses import replace
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
torch.set_num_threads(1)
videos, cache, plan, *folder = sys.argv[1:]
video_cache = build_video_cache([videos], cache=Path(cache), short_side_px=320)

def work(config, folder, stop):
    seen = []
    watch = Watching(lambda stage, *_, **__: seen.append(stage != "pseudo masks"), lambda: sum(seen) == stop)
    try:
        fit(config, video_cache, Path(folder), device=torch.device("cpu"), start=Start(resume=True), watch=watch)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)

for entry in json.loads(plan):
    config, size = from_dict(TrainConfig, entry["config"]), entry["size"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(size)}
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            os.environ.update(address, RANK=str(rank), LOCAL_RANK=str(rank))
            work(config, entry["folder"], entry.get("stop"))
        children.append(child)
    failed = [status for status in (os.waitpid(child, 0)[1] for child in children) if status]
    assert bool(failed) == bool(entry.get("stop")), (entry["folder"], size, failed)
'''

ELASTIC = """
import signal, time

def tell(stage, *_, **__):
    seen.append(stage)
    if first and os.environ["RANK"] == "1" and len(seen) == 7:
        note("killed")
        os.kill(os.getpid(), signal.SIGKILL)

def note(what):
    Path(f"{folder[0]}.{what}").write_text(str(time.time()))

first, seen = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0", []
if first:  # torchrun ends the other rank, at times before that has seen the death by itself
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    note("again")
try:
    fit(from_dict(TrainConfig, json.loads(plan)), video_cache, Path(folder[0]), device=torch.device("cpu"),
        start=Start(resume=True), watch=Watching(tell))
except RuntimeError:
    note("seen")
    raise
"""


def run(videos, cache, plan):
    """Do a plan: a list of folder, config, size, and after how many steps the run is to be stopped."""
    arguments = [str(videos), str(cache), json.dumps([{**e, "config": to_dict(e["config"])} for e in plan])]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stderr[-3000:]


def differences(one, other):
    """Largest difference of losses, and of weights; of what is above 1, relative to it."""
    lines = [[json.loads(line) for line in (r / "metrics.jsonl").read_text().splitlines()] for r in (one, other)]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    told = [name for name in lines[0][-1] if name not in ("seconds", "phase", "step", "gradient_norm")]
    losses = max(abs(a[n] - b[n]) / max(1.0, abs(a[n])) for a, b in zip(*lines, strict=True) for n in told if n in a)
    first, second = (load_file(r / "weights.safetensors") for r in (one, other))
    assert first.keys() == second.keys()
    counted = first.keys() - NO_MATTER
    weights = max(
        float(((first[n].double() - second[n].double()) / first[n].double().abs().clamp_min(1)).abs().max())
        for n in counted
    )
    return losses, weights


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four videos of two grounds of their own colours, with smooth noise that moves.

    Where equal pixels tie, or a cell lies between two clusters, rounding would choose.
    """
    root = tmp_path_factory.mktemp("grounds")
    for number in range(4):
        rng = np.random.default_rng(number)
        noise = rng.integers(0, 90, (16, 24, 3), dtype=np.uint8)
        scene = np.asarray(Image.fromarray(noise).resize((144, 96), Image.Resampling.BICUBIC))
        (root / f"ground{number}").mkdir()
        for t in range(9):
            frame = scene[t : t + 64, 4 * t : 4 * t + 96].copy()
            frame[:, : 48 + 8 * (number % 2)] += np.array([150, 30 * number, 0], dtype=np.uint8)
            Image.fromarray(frame).save(root / f"ground{number}" / f"{t:05d}.png")
    return root


@pytest.fixture
def config(config):
    rates = OptimizerConfig(lr=RATE, mask_lr=RATE, warm_steps=20)
    return replace(
        config,
        model=replace(config.model, backbone="resnet-tiny", key_channels=8),
        warmup=replace(config.warmup, epochs=1, steps_per_epoch=2, batch_clips=4, optimizer=rates),
        joint=replace(config.joint, epochs=2, steps_per_epoch=1, batch_clips=4, optimizer=rates),
        pseudo_masks=replace(config.pseudo_masks, clusters=ClusterConfig(clusters=2)),
    )


def recipe(config, name, steps):
    """A short run of a method: `steps` in all, four clips each."""
    small = {
        "crw": {"nodes": "cells", "node_channels": 16},
        "dino": {
            "global_px": 48,
            "local_px": 16,
            "local_views": 2,
            "hidden_channels": 32,
            "bottleneck_channels": 16,
            "prototypes": 32,
            "images": 2,
        },
        "dul": {"anchors_per_side": 4, "reference_per_side": 2},
    }
    if name == "mask_vos":
        specs = (ObjectiveSpec(name="l_short"), ObjectiveSpec(name="l_long", settings={"min_gap": 2}))
        warmup = replace(config.warmup, steps_per_epoch=steps // 2, objectives=specs)
        joint = replace(
            config.joint, epochs=2, steps_per_epoch=steps // 4, objectives=(ObjectiveSpec(name="l_seg"), *specs)
        )
        return replace(config, warmup=warmup, joint=joint)
    warmup = replace(
        config.warmup, steps_per_epoch=steps, objectives=(ObjectiveSpec(name=name, settings=small.get(name, {})),)
    )
    return replace(config, warmup=warmup, joint=replace(config.joint, epochs=0))


def agree(config, videos, cache, folder, sizes):
    run(videos, cache, [{"folder": str(folder / str(size)), "config": config, "size": size} for size in sizes])
    return {size: differences(folder / "1", folder / str(size)) for size in sizes[1:]}


@pytest.mark.parametrize("name", ["mask_vos", "crw", "dul", "dino"])
def test_two_processes_learn_what_one_learns(config, videos, cache, tmp_path, name):
    found = agree(recipe(config, name, 4), videos, cache, tmp_path, (1, 2))
    assert max(found[2]) < TOLERANCE, found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_vos", "crw", "dul", "dino"])
def test_one_two_and_four_processes_agree_after_twenty_steps(config, videos, cache, tmp_path, name):
    found = agree(recipe(config, name, 20), videos, cache, tmp_path, SIZES)
    print(name, found)
    assert max(max(pair) for pair in found.values()) < TOLERANCE, found


def test_a_run_goes_on_with_another_number_of_processes(config, videos, cache, tmp_path):
    """From one process to two after three steps, and back to one inside the joint phase."""
    whole, moved = str(tmp_path / "whole"), str(tmp_path / "moved")
    config = replace(recipe(config, "mask_vos", 8), checkpoint_steps=100)
    steps = [{"folder": moved, "config": config, "size": size, "stop": stop} for size, stop in ((1, 3), (2, 3))]
    run(videos, cache, [{"folder": whole, "config": config, "size": 1}, *steps, {**steps[0], "stop": None}])
    assert max(differences(tmp_path / "whole", tmp_path / "moved")) < TOLERANCE


def test_a_killed_process_is_started_again_and_the_run_ends_in_the_same_weights(config, videos, cache, tmp_path):
    config = replace(recipe(config, "mask_vos", 8), checkpoint_steps=2)
    run(videos, cache, [{"folder": str(tmp_path / "whole"), "config": config, "size": 2}])
    script = tmp_path / "elastic.py"
    script.write_text(PROGRAM.split("for entry in")[0] + ELASTIC)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1", str(script)]
    arguments = [str(videos), str(cache), json.dumps(to_dict(config)), str(tmp_path / "killed")]
    done = subprocess.run([sys.executable, "-m", *torchrun, *arguments], capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stderr[-3000:]
    assert differences(tmp_path / "whole", tmp_path / "killed") == (0.0, 0.0)
    killed, seen, again = (float((tmp_path / f"killed.{what}").read_text()) for what in ("killed", "seen", "again"))
    print(f"the other rank saw it after {seen - killed:.2f} s, and all were there again after {again - killed:.1f} s")
    assert seen - killed < SOON


def test_more_processes_than_clips_are_refused():
    with pytest.raises(UsageError, match="3 processes for 2 clips"):
        World(rank=0, size=3, device=torch.device("cpu")).require_rows(2)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_every_row_belongs_to_one_process(count):
    rows = [World(rank=rank, size=4, device=torch.device("cpu")).rows(count) for rank in range(4)]
    assert [row for part in rows for row in range(count)[part]] == list(range(count))
    assert {part.stop - part.start for part in rows} <= {count // 4, count // 4 + 1}
