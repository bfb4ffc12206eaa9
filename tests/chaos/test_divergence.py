"""A batch that gives no finite loss: nothing of it is saved, and it can be looked at."""

import contextlib
import json
from dataclasses import replace

import pytest
import torch
from tests.training.conftest import cache, config, video_cache, videos  # noqa: F401 - fixtures
from typer.testing import CliRunner

from selfvos.cli import app
from selfvos.errors import DataError, Diverged, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.training.capture import replay
from selfvos.training.checkpoint import latest_checkpoint, restore
from selfvos.training.fit import fit

pytestmark = pytest.mark.chaos
CPU = torch.device("cpu")


@pytest.fixture
def poisoned(config, monkeypatch):  # noqa: F811
    """Settings of a run, and a network that finds no number for the frames of one of the four videos."""
    plain = Segmenter.encode_frame

    def encode(self, frames):
        green = frames[:, 1].amax(dim=(1, 2)) > 0.63
        return plain(self, torch.where(green[:, None, None, None], torch.nan, frames))

    monkeypatch.setattr(Segmenter, "encode_frame", encode)
    phase = replace(config.warmup, epochs=6)
    return replace(config, warmup=phase, joint=replace(config.joint, epochs=0), checkpoint_steps=1)


def values(tree):
    if isinstance(tree, torch.Tensor):
        return [tree]
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else []
    return [value for child in children for value in values(child)]


def test_nothing_that_is_no_number_is_saved_and_the_clips_to_blame_are_named(poisoned, video_cache, tmp_path, caplog):  # noqa: F811
    with contextlib.suppress(Diverged):
        fit(poisoned, video_cache, tmp_path, device=CPU)
    assert "selfvos replay" in caplog.text
    found = latest_checkpoint(tmp_path)
    assert found is not None
    model = Segmenter(poisoned.model)
    state = restore(found, model)
    tensors = [*model.state_dict().values(), *values(state)]
    assert len(tensors) > 100
    assert all(t.isfinite().all() for t in tensors if t.is_floating_point())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    failed = [line["step"] for line in lines if line["loss"] != line["loss"]]
    again = replay(tmp_path, CPU)
    assert [one.step for one in again] == failed[:3]
    for one in again:
        assert not one.finite
        assert one.to_blame
        assert all(name.startswith("square3, frames ") for name in one.to_blame)
        assert set(one.clips) > set(one.to_blame)


def test_a_replay_needs_a_captured_step_and_notices_damage(poisoned, video_cache, tmp_path):  # noqa: F811
    with pytest.raises(UsageError, match="no captured step"):
        replay(tmp_path, CPU)
    with contextlib.suppress(Diverged):
        fit(poisoned, video_cache, tmp_path, device=CPU)
    result = CliRunner().invoke(app, ["replay", str(tmp_path)], catch_exceptions=False)
    assert "not finite; to blame: square3, frames" in result.stdout
    facts = next((tmp_path / "captured").glob("step-*")) / "step.json"
    facts.write_text(facts.read_text().replace("square3", "square4"))
    with pytest.raises(DataError, match="damaged"):
        replay(tmp_path, CPU)
