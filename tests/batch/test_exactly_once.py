"""A worker killed between any two steps that it takes on the disk: the video is there whole or not at all."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from selfvos import api
from selfvos.batch.job import Job, track_one
from selfvos.batch.shards import Shards
from selfvos.batch.sink import open_sink
from selfvos.batch.store import open_store
from selfvos.types import ObjectState

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="killing at a point takes fork")
CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
KILLED, FAST = 9, 12


@pytest.fixture
def quick(monkeypatch):
    """Trackers that need no torch: it does not survive a fork."""

    class Still:
        supervision, precision, mask = "", "float32", np.zeros((1, 1), np.uint8)

        def start(self, _, mask):
            self.mask = mask
            return mask

        def ahead(self, frames, **_):
            return iter(frames)

        def step(self, *_):
            return self.mask

        @property
        def objects(self):
            return tuple(ObjectState(int(i), 1.0, False) for i in np.unique(self.mask) if i)

    monkeypatch.setattr("selfvos.api.tracking.make_tracker", lambda *_: Still())
    monkeypatch.setattr("selfvos.api.tracking.network_digest", lambda _: "0" * 64)
    monkeypatch.setattr(api, "weights_digest", lambda _: "0" * 64, raising=False)


def _run(work, root: Path, kill_at: int) -> int:
    """Do some work in a process that is killed before its n-th change below a folder; return its exit status."""
    child = os.fork()
    if not child:
        steps = 0

        def count(event, arguments):
            nonlocal steps
            writes = event == "open" and arguments[2] is not None and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (event in CHANGES or writes) and str(arguments[0]).startswith(str(root)):
                steps += 1
                if steps == kill_at:
                    os._exit(KILLED)  # no `finally`, no flush: as SIGKILL does

        sys.addaudithook(count)
        try:
            outcome = work()
            os._exit(0 if outcome is None or outcome.state == "done" else 2)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _points(work, root: Path, *, most: int | None) -> list[int]:
    """Return at which changes to kill: all, or as many as there is time for, spread evenly."""
    low, high = 1, 1
    while (status := _run(work, root, high)) == KILLED:
        low, high = high, high * 2
        _empty(root)
    assert status == 0
    _empty(root)
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _run(work, root, middle) == KILLED else (low, middle)
        _empty(root)
    steps = range(1, low + 1)
    return list(steps) if most is None else [int(i) for i in np.unique(np.linspace(1, low, most).round())]


def _empty(root: Path) -> None:
    import shutil

    shutil.rmtree(root, ignore_errors=True)


def _check(job: Job, model, points: list[int]) -> None:
    root, plan = Path(job.plan.out), job.plan
    for point in points:
        assert _run(lambda: track_one(job, model), root, point) == KILLED
        sink = open_sink(open_store(plan.out), plan.layout)
        there = list(sink.finished())
        assert len(there) <= 1
        assert list(sink.faults(there)) == [""] * len(there)
        assert sink.partial() == []
        open_store(plan.out).tidy()
        assert track_one(job, model).state == ("already" if there else "done")
        [stored] = sink.finished()
        assert list(sink.faults([stored])) == [""]
        _empty(root)


@pytest.fixture
def job(jobs, model, monkeypatch, quick) -> Job:
    config = api.track_config(model, None)
    monkeypatch.setattr(api, "track_config", lambda *_: config)
    return jobs[0]


def test_a_kill_between_steps_leaves_a_whole_result_or_none(job, model):
    _check(job, model, _points(lambda: track_one(job, model), Path(job.plan.out), most=FAST))


@pytest.mark.slow
def test_a_kill_at_every_step_leaves_a_whole_result_or_none(job, model):
    _check(job, model, _points(lambda: track_one(job, model), Path(job.plan.out), most=None))


@pytest.mark.parametrize("plan", ["parquet"], indirect=True)
def test_a_kill_while_parts_become_a_shard_loses_and_doubles_nothing(jobs, job, plan, model):
    root = Path(plan.out)

    def fill():
        for one in jobs:
            track_one(replace(one, plan=plan), model)

    def gather():
        Shards(open_store(plan.out)).gather(everything=True)

    point = 1
    while True:
        fill()
        status = _run(gather, root, point)
        open_store(plan.out).tidy()
        gather()  # as a batch does when it goes on
        stored = list(Shards(open_store(plan.out)).finished())
        assert sorted(one.result.name for one in stored) == [f"clip{i}" for i in range(4)]
        assert list(Shards(open_store(plan.out)).faults(stored)) == [""] * 4
        assert not list((root / "parts").iterdir())
        _empty(root)
        if status == 0:
            break
        point += 1
    assert point > 5
