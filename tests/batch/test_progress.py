import urllib.error
import urllib.request

import pytest

from selfvos.batch.job import Outcome
from selfvos.batch.progress import Progress, serving
from selfvos.errors import UsageError


def _progress(monkeypatch, seconds=1800.0) -> Progress:
    progress = Progress(total=100, before=10)
    progress.began = 0.0
    monkeypatch.setattr("selfvos.batch.progress.time.monotonic", lambda: seconds)
    for number in range(30):
        progress.take(
            Outcome(key=str(number), name=str(number), state="done", frames=60, stages={"track": 2.0}, peak_mb=512.0)
        )
    progress.take(Outcome(key="x", name="x", state="lost"))
    return progress


def test_rates_and_time_left(monkeypatch):
    progress = _progress(monkeypatch)
    # 30 videos in half an hour; 60 are left, which takes an hour.
    assert progress.rates() == {"videos_per_hour": 60.0, "frames_per_second": 1.0, "seconds_left": 3600.0}
    assert progress.line() == "40 of 100 videos; 60 videos/h, 1.0 frames/s, 1 h 00 min left"


def test_nobody_knows_what_is_left_before_the_first_video():
    assert Progress(total=5).rates()["seconds_left"] == -1
    assert Progress(total=5).line().endswith("frames/s")


def test_prometheus_scrapes_a_port_of_this_machine(monkeypatch):
    progress = _progress(monkeypatch)
    with serving(0, progress.prometheus) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text, kind = answer.read().decode(), answer.headers["Content-Type"]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/etc/passwd", timeout=5)
    assert kind.startswith("text/plain; version=0.0.4")
    lines = text.splitlines()
    assert "selfvos_batch_videos 100" in lines
    assert 'selfvos_batch_attempts_total{state="lost"} 1' in lines
    assert 'selfvos_batch_stage_seconds_total{stage="track"} 60' in lines
    assert "selfvos_batch_worker_peak_bytes 536870912" in lines
    for line in lines:
        assert line.startswith("# TYPE selfvos_batch_") or float(line.rpartition(" ")[2]) >= 0


def test_a_port_that_is_taken_is_told():
    with serving(0, str) as port, pytest.raises(UsageError, match="choose another"), serving(port, str):
        pass
