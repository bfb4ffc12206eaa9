import errno
import json
import os
from dataclasses import replace

import pytest
import torch

from selfvos.errors import BrokenCheckpoint, OutOfSpace, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.training.checkpoint import (
    Position,
    RunFacts,
    branch,
    latest_checkpoint,
    require_same_videos,
    restore,
    save_checkpoint,
)
from selfvos.training.fit import Start, fit

CPU = torch.device("cpu")
VIDEOS = [["a.mp4", "11"], ["b.mp4", "22"]]


@pytest.fixture
def model(config):
    return Segmenter(config.model)


def save(run, model, config, total):
    state = {"optimizer": {"step": torch.tensor(total)}}
    facts = RunFacts(config=config, precision="float32", videos=VIDEOS)
    return save_checkpoint(run, model, state, Position("joint", total - 1, total), facts)


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_round_trip(model, config, tmp_path):
    save(tmp_path, model, config, 7)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.position == Position("joint", 6, 7)
    assert (found.facts.config, found.facts.precision, found.facts.videos) == (config, "float32", VIDEOS)
    other = Segmenter(config.model)
    assert restore(found, other)["optimizer"]["step"] == 7
    assert digest(other.state_dict()) == digest(model.state_dict())


def test_only_the_latest_two_are_kept(model, config, tmp_path):
    for total in (3, 6, 9):
        save(tmp_path, model, config, total)
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["step-0000006", "step-0000009"]


def test_nothing_there_is_not_an_error(tmp_path):
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "manifest.json"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(model, config, tmp_path, name, caplog):
    save(tmp_path, model, config, 3)
    latest = save(tmp_path, model, config, 6)
    if name == "manifest.json":
        (latest / name).write_text("{")
    else:
        flip_a_byte(latest / name)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.position.total == 3
    assert "step-0000006" in caplog.text


def test_when_all_are_damaged_it_says_so(model, config, tmp_path):
    flip_a_byte(save(tmp_path, model, config, 3) / "state.pt")
    with pytest.raises(BrokenCheckpoint, match="all checkpoints"):
        latest_checkpoint(tmp_path)


def test_a_full_disk_leaves_the_last_checkpoint_whole(model, config, tmp_path, monkeypatch):
    save(tmp_path, model, config, 3)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpace, match="disk full"):
        save(tmp_path, model, config, 6)
    monkeypatch.undo()
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.position.total == 3
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000003"]


@pytest.mark.parametrize(
    ("videos", "told"),
    [
        (VIDEOS[:1], "b.mp4 is missing"),
        ([*VIDEOS, ["c.mp4", "33"]], "c.mp4 is new"),
        ([VIDEOS[0], ["b.mp4", "23"]], "b.mp4 has changed"),
        ([[str(i), ""] for i in range(9)], "a.mp4 is missing; b.mp4 is missing; 0 is new; .* and 6 more"),
    ],
)
def test_other_videos_than_the_run_learned_from_are_refused(model, config, tmp_path, videos, told):
    save(tmp_path, model, config, 3)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    require_same_videos(found, VIDEOS)
    with pytest.raises(UsageError, match=f"learned from other videos: {told}"):
        require_same_videos(found, videos)


def test_a_run_branched_off_a_warmup_ends_as_one_that_did_it_itself(config, video_cache, tmp_path):
    alone, warm, branched = (tmp_path / name for name in ("alone", "warm", "branched"))
    fit(config, video_cache, alone, device=CPU)
    fit(
        replace(config, joint=replace(config.joint, epochs=0), track={"memory": {"last": 1}}),
        video_cache,
        warm,
        device=CPU,
    )
    branch(warm, branched, config)
    branch(warm, branched, replace(config, seed=6))  # there is a checkpoint already: nothing changes
    fit(config, video_cache, branched, device=CPU, start=Start(resume=True))
    assert (branched / "weights.safetensors").read_bytes() == (alone / "weights.safetensors").read_bytes()
    lines = [(run / "metrics.jsonl").read_text().splitlines() for run in (alone, branched)]
    seen = [[{**json.loads(line), "seconds": 0} for line in each] for each in lines]
    assert seen[0] == seen[1]
    with pytest.raises(UsageError, match="does not end with a warm-up"):
        branch(alone, tmp_path / "other", config)
