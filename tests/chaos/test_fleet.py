"""A batch whose workers and leader are killed on the way: each good video once, each bad one listed."""

import sys

import pytest
from benchmarks.chaos import Trouble, make, run, verdict

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds workers in /proc"),
]


@pytest.mark.parametrize(
    ("videos", "trouble"),
    [
        pytest.param(200, Trouble(every_s=1.0, leader_at=0.5, most=3), id="short"),
        pytest.param(
            3000, Trouble(every_s=15.0, leader_at=0.5), id="long", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]
        ),
    ],
)
def test_each_good_video_is_finished_once_whatever_is_killed(tmp_path, videos, trouble):
    pytest.importorskip("pyarrow")
    good, bad = make(tmp_path / "videos", videos)
    assert len(bad) == videos // 100
    happened = run(tmp_path, good | bad, 0, trouble)
    assert happened["leaders_killed"] == 1 <= happened["workers_killed"]
    found = verdict(tmp_path, good, bad)
    assert found["passed"], found
    assert (found["whole"], found["there_twice"], found["missing"]) == (len(good), 0, 0)
    assert (found["bad_listed"], found["good_given_up"]) == (len(bad), 0)
    kills = happened["leaders_killed"] + happened["workers_killed"]
    assert found["attempts"] - videos <= kills
