from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from selfvos import api, override
from selfvos.batch.job import Job, track_one
from selfvos.batch.sink import open_sink
from selfvos.batch.store import SCRATCH, open_store
from selfvos.errors import OutOfSpace, ResourceError, SelfvosError
from selfvos.types import Watching


def _sink(plan):
    return open_sink(open_store(plan.out), plan.layout)


def _kept_masks(plan, stored):
    with open_store(plan.out).lend(stored.place) as path:
        if plan.layout == "folders":
            track = api.open_track(path)
            return [track.mask(place) for place in range(len(track.frames))]
        from selfvos.batch.shards import read_shard

        [(_, rows)] = read_shard(path)
        return [api.mask_of_row(row) * row.object for row in rows]


def test_what_is_kept_is_what_tracking_gives(jobs, model, plan):
    outcome = track_one(jobs[0], model)
    assert (outcome.state, outcome.frames, outcome.objects) == ("done", 4, 1)
    assert set(outcome.stages) == {"fetch", "prompt", "track", "keep"}
    row = jobs[0].row
    config = override(api.track_config(model, None), plan.settings)
    wanted = [tracked.mask for tracked in api.track(model, row.video, row.mask, config=config)]
    [stored] = _sink(plan).finished()
    np.testing.assert_array_equal(_kept_masks(plan, stored), wanted)
    assert (stored.result.key, stored.result.name, stored.result.frames) == (row.key, "clip0", 4)
    assert stored.result.weights == api.weights_digest(model)
    assert list(_sink(plan).faults([stored])) == [""]


def test_a_finished_video_is_not_tracked_again(jobs, model, plan):
    track_one(jobs[0], model)
    before = {path: path.stat().st_mtime_ns for path in Path(plan.out).rglob("*") if path.is_file()}
    assert track_one(jobs[0], model).state == "already"
    assert before == {path: path.stat().st_mtime_ns for path in Path(plan.out).rglob("*") if path.is_file()}


def test_of_two_workers_that_finish_one_video_the_slower_changes_nothing(jobs, model, plan, monkeypatch):
    sink = type(_sink(plan))
    monkeypatch.setattr(sink, "has", lambda *_: False)  # the slower one looked before the faster one had finished
    assert [track_one(jobs[0], model).state for _ in range(2)] == ["done", "already"]
    assert len(list(_sink(plan).finished())) == 1


def test_nothing_is_left_in_the_scratch_folder(jobs, model, plan):
    broken = replace(jobs[0], row=replace(jobs[0].row, mask="none.png"))
    for job in (jobs[0], broken):
        track_one(job, model)
    assert list((Path(plan.out) / SCRATCH).iterdir()) == []


def test_bad_data_is_refused_with_the_reason(jobs, model, plan):
    row = jobs[0].row
    for changes, words in [
        ({"video": "/nowhere.mp4"}, "no such file"),
        ({"mask": row.video}, "cannot be read"),
        ({"mask_frame": 9}, "frames 0 to 3"),
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"settings": ("match.top_q=1",)}, "unknown setting"),
    ]:
        outcome = track_one(Job(replace(row, **changes), plan), model)
        assert outcome.state == "refused", outcome
        assert words in outcome.reason
        assert outcome.trace == ""
    assert list(_sink(plan).finished()) == []


def test_the_digest_of_the_manifest_is_checked(jobs, model, plan):
    digest = sha256(Path(jobs[0].row.video).read_bytes()).hexdigest()
    assert track_one(Job(replace(jobs[0].row, sha256=digest), plan), model).state == "done"


def test_settings_of_a_row_are_its_own(jobs, model, plan):
    row = replace(jobs[0].row, settings=("refine.rounds=0", "frame.short_side_px=32"))
    assert track_one(Job(row, plan), model).state == "done"
    if plan.layout == "folders":
        about = api.open_track(Path(plan.out) / "tracks" / "clip0").about
        assert about["settings"]["frame"]["short_side_px"] == 32


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (OutOfSpace("disk full"), "full"),
        (ResourceError("gone for a while"), "failed"),
        (MemoryError(), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes"), "memory"),
        (ZeroDivisionError("a bug"), "failed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_trouble_has_its_state(jobs, model, monkeypatch, error, state):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(api, "track_config", fail)
    outcome = track_one(jobs[0], model)
    assert outcome.state == state
    assert ("in fail" in outcome.trace) == (not isinstance(error, SelfvosError | MemoryError))


def test_a_watch_that_asks_stops_between_frames(jobs, model, plan):
    outcome = track_one(jobs[0], model, Watching(None, lambda: True))
    assert outcome.state == "stopped"
    assert list(_sink(plan).finished()) == []


def test_inputs_and_results_behind_urls(jobs, model, plan, clips):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/in/clip0.mp4", (clips / "clip0.mp4").read_bytes())
    memory.pipe_file("/in/clip0.png", (clips / "clip0.png").read_bytes())
    row = replace(jobs[0].row, video="memory://in/clip0.mp4", mask="memory://in/clip0.png")
    remote = replace(plan, out=f"memory://out-{plan.layout}")
    try:
        states = [track_one(Job(row, remote), model).state for _ in range(2)]
        assert states == ["done", "already"]
        [stored] = _sink(remote).finished()
        assert list(_sink(remote).faults([stored])) == [""]
        missing = replace(row, video="memory://in/none.mp4", name="none")
        assert "nothing at" in track_one(Job(missing, remote), model).reason
    finally:
        memory.rm("/in", recursive=True)
        memory.rm(f"/out-{plan.layout}", recursive=True)


def test_a_row_without_a_mask_gets_one_from_its_video(jobs, model, plan):
    outcome = track_one(Job(replace(jobs[0].row, mask=""), plan), model)
    assert (outcome.state, outcome.frames) == ("done", 4)
    assert 1 <= outcome.objects <= 3


def test_rows_hold_the_pixels_and_say_when_they_do_not(jobs, model):
    row = jobs[0].row
    [*_, last] = api.track(model, row.video, row.mask)
    [one] = api.mask_rows(last)
    np.testing.assert_array_equal(api.mask_of_row(one), last.mask)
    assert (one.area, one.height, one.width, one.frame) == (int(last.mask.sum()), 64, 64, 3)
    with pytest.raises(ValueError, match="are recorded"):
        api.mask_of_row(replace(one, area=one.area + 1))
