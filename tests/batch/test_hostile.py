"""Hostile rows of a batch: each costs itself alone, and no worker decodes any."""

import json
from dataclasses import replace

import pytest
from tests.data.test_video import encode, scenery
from tests.hostile import bombs, called_port, scripts

from selfvos.batch.job import Job, Plan, track_one
from selfvos.batch.manifest import read_manifest
from selfvos.data import apart_process, containers

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not apart_process.AVAILABLE, reason="no process can be confined on this system"),
    pytest.mark.parametrize("plan", ["parquet"], indirect=True),
]


def rows(folder, clips, names):
    lines = [json.dumps({"video": str(name), "name": name.name, "mask": str(clips / "clip0.png")}) for name in names]
    (folder / "hostile.jsonl").write_text("\n".join(lines))
    return list(read_manifest(folder / "hostile.jsonl"))


def test_a_worker_refuses_what_strangers_send_and_tracks_the_rest(tmp_path, clips, jobs, plan, model, monkeypatch):
    secret = encode(tmp_path / "secret.mp4", scenery(3))
    with called_port() as (port, callers):
        names = [*bombs(tmp_path), tmp_path / "half.mkv"]
        whole = encode(tmp_path / "whole.mkv", scenery(60, 64, 64)).read_bytes()
        names[-1].write_bytes(whole[: len(whole) // 2])
        for name, content in scripts(secret, port).items():
            (tmp_path / name).write_text(content)
            names.append(tmp_path / name)

        def refuse(*arguments, **_):
            raise AssertionError(f"the worker opened {arguments}")

        monkeypatch.setattr(containers.av, "open", refuse)
        outcomes = [track_one(Job(row, plan), model) for row in rows(tmp_path, clips, names)]
        assert {outcome.name: outcome.state for outcome in outcomes} == dict.fromkeys(
            [n.name for n in names], "refused"
        )
        assert all(outcome.reason and "\n" not in outcome.reason for outcome in outcomes)
        assert callers == []
        assert track_one(jobs[0], model).state == "done"


def test_trusted_videos_are_decoded_by_the_worker(jobs, plan, model, monkeypatch):
    monkeypatch.setattr("selfvos.data.apart.ApartVideo", None)
    trusted = replace(plan, trusted=True)
    assert isinstance(trusted, Plan)
    outcome = track_one(replace(jobs[0], plan=trusted), model)
    assert (outcome.state, outcome.frames) == ("done", 4)
