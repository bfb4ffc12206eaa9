"""Faults of files: processes that die while they save, disks that fill, bytes that flip, pickles that would run.

Each long form has a short one that always runs; `pytest -m chaos` runs all.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from selfvos.data.training_videos import FoundVideo
from selfvos.data.video_cache import cache_video
from selfvos.errors import BrokenCheckpoint, DataError, OutOfSpace, SelfvosError
from selfvos.models.convert.base import read_state
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import load_weights, save_weights
from selfvos.recipes import mask_vos_resnet18_tiny
from selfvos.storage import sealed, sha256
from selfvos.training.checkpoint import Position, RunFacts, latest_checkpoint, restore, save_checkpoint
from selfvos.training.pseudo_masks import _read, _write

pytestmark = pytest.mark.chaos
SAVER = '''
"""Save one checkpoint after another, each of a network full of its own step's number, and tell of each."""
import sys, torch
from pathlib import Path
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.backbones.resnet import BasicBlock, ResNet, ResNetFactory
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.recipes import mask_vos_resnet18_tiny
from selfvos.training.checkpoint import Position, RunFacts, save_checkpoint
import os

class TinyResNet(ResNet):
    stem_channels = 8

BACKBONES.register("resnet-tiny")(ResNetFactory(BasicBlock, (1, 1, 1, 1), TinyResNet))
model = Segmenter(SegmenterConfig(backbone="resnet-tiny", last_stage=3, mask_path="none", key_channels=8))
facts = RunFacts(config=mask_vos_resnet18_tiny(), precision="float32", videos=[])
torch.set_num_threads(1)
while line := sys.stdin.readline():
    run, first = line.split()
    child = os.fork()
    if not child:
        for step in range(int(first), int(first) + 1000):
            with torch.no_grad():
                [parameter.fill_(step) for parameter in model.parameters()]
            save_checkpoint(Path(run), model, {"step": step, "big": torch.full((1000,), step)},
                            Position("warmup", step, step), facts)
            print(step, flush=True)
        os._exit(0)
    print("child", child, flush=True)
    os.waitpid(child, 0)
'''


@pytest.fixture(scope="module")
def model(tiny_resnet):
    return Segmenter(SegmenterConfig(backbone=tiny_resnet, last_stage=3, mask_path="none", key_channels=8))


@pytest.fixture(scope="module")
def facts():
    return RunFacts(config=mask_vos_resnet18_tiny(), precision="float32", videos=[["a", "b"]])


def killed_while_saving(folder, trials):
    """Kill the saver at a random moment, again and again; each time the newest checkpoint has to be whole."""
    rng = np.random.default_rng(7)
    saver = subprocess.Popen([sys.executable, "-c", SAVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    last = 0
    for trial in range(trials):
        saver.stdin.write(f"{folder} {last + 1}\n")
        saver.stdin.flush()
        child = int(saver.stdout.readline().split()[1])
        told = int(saver.stdout.readline())
        time.sleep(float(rng.uniform(0, 0.06)))
        os.kill(child, signal.SIGKILL)
        found = latest_checkpoint(folder)
        assert found is not None
        assert found.position.total >= told, f"trial {trial}: step {told} was confirmed and is gone"
        tensors = load_file(found.folder / "model.safetensors")
        values = {
            float(v.flatten()[0]) for name, v in tensors.items() if "running" not in name and v.is_floating_point()
        }
        assert values == {float(found.position.total)}
        last = max(found.position.total, *(int(p.name[5:]) for p in (folder / "checkpoints").glob("step-*")))
    saver.stdin.close()
    saver.stdout.read()
    saver.wait(timeout=30)
    assert len(list((folder / "checkpoints").glob(".step-*"))) <= 2, "what a kill leaves is cleared away"


def test_ten_kills_while_saving(tmp_path):
    killed_while_saving(tmp_path, 10)


@pytest.mark.slow
def test_two_hundred_kills_while_saving(tmp_path):
    killed_while_saving(tmp_path, 200)


def flips(content, count):
    """Yield contents with one bit flipped, spread over all of it, its head above all."""
    rng = np.random.default_rng(3)
    for number in range(count):
        place = int(rng.integers(min(len(content), 6000) if number % 2 else len(content)))
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        yield place, bytes(flipped)


def unnoticed(path, read, count):
    """Return at which places of a file a flipped bit was not noticed."""
    whole = path.read_bytes()
    missed = []
    for place, content in flips(whole, count):
        path.write_bytes(content)
        try:
            read()
        except (SelfvosError, ValueError):
            continue
        missed.append(place)
    path.write_bytes(whole)
    read()
    return missed


def kept_files(tmp_path, model, facts):
    """Each kind of file that is kept, and what reads it."""
    weights = tmp_path / "w.safetensors"
    save_weights(weights, model)
    yield "weights", weights, lambda: load_weights(weights)
    state = {"step": 3, "values": torch.rand(200)}
    folder = save_checkpoint(tmp_path / "run", model, state, Position("warmup", 3, 3), facts)
    for name in ("model.safetensors", "state.pt", "manifest.json"):
        yield name, folder / name, lambda: latest_checkpoint(tmp_path / "run")
    maps = tmp_path / "round.maps"
    _write(maps, np.random.default_rng(0).integers(0, 5, (4, 12, 16), dtype=np.uint8))
    yield "pseudo masks", maps, lambda: _read(maps)


@pytest.mark.parametrize("count", [25, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_noticed(tmp_path, model, facts, count):
    for name, path, read in kept_files(tmp_path, model, facts):
        assert unnoticed(path, read, count) == [], name


@pytest.mark.parametrize("count", [25, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_flipped_bit_of_a_cached_video_is_noticed(tmp_path, count, caplog):
    from PIL import Image

    (tmp_path / "video").mkdir()
    for t in range(3):
        Image.effect_noise((64, 48), 60).convert("RGB").save(tmp_path / "video" / f"{t}.png")
    video = FoundVideo("v", tmp_path / "video")
    pack = cache_video(video, cache=tmp_path / "cache", short_side_px=320)
    whole = pack.path.read_bytes()
    for place, content in flips(whole, count):
        pack.path.write_bytes(content)
        caplog.clear()
        assert cache_video(video, cache=tmp_path / "cache", short_side_px=320) == pack
        assert "is damaged" in caplog.text, place
        assert pack.path.read_bytes() == whole


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def payloads(trace):
    """Ten ways in which a pickle runs what it likes."""
    code = f"open({str(trace)!r}, 'w').close()"
    import builtins
    import importlib
    import operator

    return {
        "system": Payload(os.system, f"touch {trace}"),
        "exec": Payload(builtins.exec, code),
        "eval": Payload(builtins.eval, f"__import__('os').system('touch {trace}')"),
        "popen": Payload(subprocess.Popen, ["touch", str(trace)]),
        "check_output": Payload(subprocess.check_output, ["touch", str(trace)]),
        "write": Payload(Path.touch, trace),
        "open": Payload(open, str(trace), "w"),
        "getattr": Payload(operator.methodcaller("touch"), trace),
        "import": Payload(importlib.import_module, "antigravity"),
        "nested": Payload(torch.load, str(trace) + ".inner"),
    }


@pytest.mark.parametrize("name", sorted(payloads(Path("x"))))
@pytest.mark.parametrize("legacy", [False, True])
def test_no_pickle_ever_runs(tmp_path, model, facts, name, legacy, monkeypatch):
    trace = tmp_path / "trace"
    (tmp_path / "trace.inner").write_bytes(pickle.dumps(payloads(trace)["system"]))
    content = {"state_dict": {"a": torch.ones(2)}, "more": payloads(trace)[name]}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DataError, match="not loaded"):
        read_state(tmp_path / "a.pth")
    # A checkpoint that someone has changed, digests and all.
    folder = save_checkpoint(tmp_path / "run", model, {}, Position("warmup", 3, 3), facts)
    torch.save(content, folder / "state.pt", _use_new_zipfile_serialization=not legacy)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["state.pt"] = sha256(folder / "state.pt")
    manifest.pop("seal")
    (folder / "manifest.json").write_text(json.dumps(sealed(manifest)))
    found = latest_checkpoint(tmp_path / "run")
    assert found is not None
    with pytest.raises(BrokenCheckpoint, match="objects"):
        restore(found, model)
    assert not trace.exists()
    assert "antigravity" not in sys.modules


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("only who may mount has a small disk to fill")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills_keeps_the_checkpoint_that_was_there(small_disk, model, facts):
    save_checkpoint(small_disk / "run", model, {"values": torch.zeros(200)}, Position("warmup", 3, 3), facts)
    with pytest.raises(OutOfSpace, match="disk full"):
        save_checkpoint(small_disk / "run", model, {"values": torch.zeros(2_000_000)}, Position("warmup", 6, 6), facts)
    found = latest_checkpoint(small_disk / "run")
    assert found is not None
    assert found.position.total == 3
    assert [path.name for path in (small_disk / "run" / "checkpoints").iterdir()] == ["step-0000003"]


@pytest.mark.parametrize(
    "head",
    [
        (2**40).to_bytes(8, "little") + b"{}",
        (2**63 - 1).to_bytes(8, "little"),
        b'\x40\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[1000000000,9],"data_offsets":[0,4]}}  ' + b"\0" * 4,
        b'\x50\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","s' + b"\0" * 9,
        b'\x41\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,999999999999]}}' + b"\0" * 8,
    ],
)
def test_weights_that_lie_about_their_size_are_refused_at_once(tmp_path, head):
    (tmp_path / "w.safetensors").write_bytes(head)
    began = time.monotonic()
    with pytest.raises(DataError):
        load_weights(tmp_path / "w.safetensors")
    with pytest.raises(DataError):
        read_state(tmp_path / "w.safetensors")
    assert time.monotonic() - began < 1
