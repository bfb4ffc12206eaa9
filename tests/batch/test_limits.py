"""Videos that are poison: each ends within its limits, with a reason, and harms nobody."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.tiny import picture, write_video

from selfvos import api
from selfvos.batch import limits
from selfvos.batch.job import Job
from selfvos.batch.limits import track_within

pytestmark = pytest.mark.parametrize("plan", ["parquet"], indirect=True)


def _job(job, **changes):
    return replace(job, plan=replace(job.plan, **changes))


def test_a_good_video_within_its_limits(jobs, model):
    outcome = track_within(jobs[0], model)
    assert outcome.state == "done"
    assert outcome.peak_mb > 50


def test_a_video_that_takes_too_long_ends_at_its_next_frame(jobs, model, monkeypatch):
    real = api.mask_rows
    monkeypatch.setattr(api, "mask_rows", lambda tracked: time.sleep(0.3) or real(tracked))
    monkeypatch.setattr("selfvos.data.track_folder.record", lambda _: time.sleep(5))
    begin = time.monotonic()
    outcome = track_within(_job(jobs[0], limit_s=0.4, layout="parquet"), model)
    assert (outcome.state, outcome.spent) == ("timeout", False)
    assert "longer than 0.4 s" in outcome.reason
    assert time.monotonic() - begin < 3


def test_a_decoder_that_never_comes_back_is_said_to_have_spent_the_worker(jobs, model, monkeypatch):
    monkeypatch.setattr(limits, "_GRACE_S", 0.2)
    monkeypatch.setattr(api, "open_apart", lambda *_, **__: time.sleep(20))
    begin = time.monotonic()
    outcome = track_within(_job(jobs[0], limit_s=0.3), model)
    assert (outcome.state, outcome.spent) == ("timeout", True)
    assert time.monotonic() - begin < 5


def test_a_video_that_takes_too_much_memory_is_stopped(jobs, model, monkeypatch):
    held, over = [], threading.Event()

    def fill(*_, **__):
        while not over.wait(0.01):
            held.append(np.ones(2**21))  # 16 MiB

    monkeypatch.setattr(limits, "_GRACE_S", 0.2)
    monkeypatch.setattr(limits, "_SLACK_BYTES", 2**28)
    monkeypatch.setattr(api, "open_apart", fill)
    outcome = track_within(_job(jobs[0], limit_gb=0.1), model)
    over.set()
    held.clear()
    assert outcome.state == "memory"
    assert outcome.peak_mb < 4000


def test_one_demand_for_more_than_there_is_fails_at_once(jobs, model, monkeypatch):
    monkeypatch.setattr(api, "open_apart", lambda *_, **__: np.ones(2**37))
    outcome = track_within(_job(jobs[0], limit_gb=1.0), model)
    assert outcome.state == "memory"


def _poison(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    whole = write_video(folder / "whole.mp4", (picture(t % 8) for t in range(24))).read_bytes()
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "junk":
        path.write_bytes(np.random.default_rng(0).bytes(20_000))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "playlist":
        path.write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{folder / 'whole.mp4'}\n#EXT-X-ENDLIST\n")
    elif kind == "concat":
        path.write_text(f"ffconcat version 1.0\nfile '{folder / 'whole.mp4'}'\n")
    elif kind == "half":
        half = write_video(folder / "half.mkv", (picture(t % 8) for t in range(24))).read_bytes()
        path = folder / "half.mkv"
        path.write_bytes(half[: len(half) // 2])
    return path


@pytest.mark.parametrize("kind", ["truncated", "junk", "empty", "playlist", "concat", "half"])
def test_files_that_are_no_whole_video_are_refused_with_the_reason(jobs, model, tmp_path, kind):
    path = _poison(kind, tmp_path)
    begin = time.monotonic()
    outcome = track_within(Job(replace(jobs[0].row, video=str(path)), jobs[0].plan), model)
    assert outcome.state == "refused"
    assert outcome.reason
    assert not outcome.trace
    assert time.monotonic() - begin < 20
    assert not list(Path(jobs[0].plan.out).glob("*/*"))


def test_a_bomb_is_refused_before_it_is_unpacked(jobs, model, tmp_path):
    """Pictures of 35 million pixels each, all black: a few kilobytes."""
    import av

    path = tmp_path / "bomb.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 8192, 4320, "yuv420p"
        frame = av.VideoFrame(8192, 4320, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        packets = []
        for t in range(2):
            frame.pts = t
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets:
            file.mux(packet)
    plan = replace(jobs[0].plan, limit_s=20.0, limit_gb=1.0)
    outcome = track_within(Job(replace(jobs[0].row, video=str(path)), plan), model)
    # Where the limit of memory allows to decode one, the mask is of another size; nothing is tracked either way.
    assert outcome.state in {"refused", "memory"}, outcome
    assert outcome.peak_mb < 3000
