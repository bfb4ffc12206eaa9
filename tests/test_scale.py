"""The plan past these machines: the simulation knows what can be worked out by hand; the page shows what it says."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.fleet_plan import Costs, Fleet, Work, against, costs_of, plan, read_costs, saturation, simulate

DOCS = Path(__file__).parents[1] / "docs"
COSTS = Costs(decode_s=0.01, encode_s=0.07, match_s=0.02, write_s=0.01, video_s=1.0, load_s=0.0)
ALIKE = Work(videos=1200, frames=90.0, spread=0.0, bad_share=0.0, deaths_per_1000_h=0.0)


def test_one_worker_takes_the_sum_and_many_their_share():
    # 1 s + 90 frames of 0.1 s: 10 s a video.
    assert simulate(ALIKE, Fleet(workers=1), COSTS).hours == pytest.approx(12_000 / 3600)
    found = simulate(ALIKE, Fleet(workers=40), COSTS)
    assert found.hours == pytest.approx(300 / 3600)
    assert (found.busy_share, found.bound, found.repeated_share) == (pytest.approx(1.0), "workers", 0.0)


def test_decoding_counts_where_it_is_slower_than_the_device():
    slow = replace(COSTS, decode_s=0.2)
    assert simulate(ALIKE, Fleet(workers=1), slow).hours == pytest.approx(1200 * 19 / 3600)


def test_loading_is_paid_once_by_each_worker():
    found = simulate(ALIKE, Fleet(workers=40), replace(COSTS, load_s=60.0))
    assert found.hours == pytest.approx(360 / 3600)


def test_a_network_that_is_full_bounds_all_however_many_they_are():
    narrow = Fleet(workers=100, network_mb_s=1.0)
    found = simulate(ALIKE, narrow, COSTS)
    megabytes = 1200 * 90 * (COSTS.in_mb_per_frame + COSTS.out_mb_per_frame)
    assert found.bound == "network"
    assert found.hours * 3600 == pytest.approx(megabytes, rel=0.01)
    assert simulate(ALIKE, replace(narrow, workers=400), COSTS).hours == pytest.approx(found.hours, rel=0.01)
    assert saturation(ALIKE, narrow, COSTS)["network"] == pytest.approx(10 / (90 * 0.023), rel=1e-6)


def test_long_videos_that_come_last_keep_the_others_waiting():
    mixed = replace(ALIKE, spread=1.0)
    assert simulate(mixed, Fleet(workers=400), COSTS).busy_share < simulate(mixed, Fleet(workers=4), COSTS).busy_share


def test_workers_that_die_cost_the_work_they_had_begun():
    found = simulate(replace(ALIKE, deaths_per_1000_h=3600.0), Fleet(workers=10), COSTS)
    # 3.6 an hour, a video takes 10 s: one in a hundred is begun again, and half of it had been done.
    assert 0.001 < found.repeated_share < 0.01
    assert found.hours > simulate(ALIKE, Fleet(workers=10), COSTS).hours


def test_bad_videos_cost_next_to_nothing():
    found = simulate(replace(ALIKE, bad_share=1.0), Fleet(workers=1), COSTS)
    assert found.hours == pytest.approx(1200 / 3600)


def test_a_sample_stands_for_all():
    many = replace(ALIKE, videos=60_000)
    for workers in (1, 7, 300):
        found = simulate(many, Fleet(workers=workers), COSTS, sample=2_000)
        assert found.hours == pytest.approx(600_000 / workers / 3600, rel=0.01)


def test_two_runs_are_held_against_the_simulation():
    """Of a machine that does as the simulation says, one run predicts the other to the second."""
    one = {"clips": 40, "workers": 1, "fleet_seconds": 80.0, "frames_per_second": 4.0, "stages": {"track": 76.0}}
    two = one | {"workers": 2, "fleet_seconds": 40.0, "frames_per_second": 8.0}
    costs = costs_of(one)
    assert costs.encode_s * 8 + costs.video_s == pytest.approx(2.0)
    assert against(one, costs)["ratio"] == pytest.approx(1.0)
    assert against(two, costs) == {"forecast_s": 40.0, "measured_s": 40.0, "ratio": 1.0}


def test_company_slows_all_workers_but_a_single_one():
    one = {"clips": 40, "workers": 1, "fleet_seconds": 80.0, "frames_per_second": 4.0, "stages": {"track": 80.0}}
    two = one | {"workers": 2, "fleet_seconds": 60.0, "frames_per_second": 320 / 60, "stages": {"track": 120.0}}
    costs = costs_of(one, two)
    assert costs.crowding == pytest.approx(1.5)
    assert [against(run, costs)["ratio"] for run in (one, two)] == [pytest.approx(1.0)] * 2


def test_the_page_shows_what_the_simulation_says():
    costs = read_costs(DOCS / "scale_costs.json")
    stored = json.loads((DOCS / "scale.json").read_text())
    found = json.loads(json.dumps(plan(costs)))
    for name, titles in found["forecasts"].items():
        for title, counts in titles.items():
            for count, forecast in counts.items():
                assert stored["forecasts"][name][title][count]["hours"] == pytest.approx(forecast["hours"], rel=1e-6)
    page = (DOCS / "scale.md").read_text()
    for line in re.findall(r"^\| `(\S+)` \| ([^|]+) \| (\d+) \| ([\d.,]+) h \|", page, flags=re.MULTILINE):
        name, title, count, hours = line
        shown = float(hours.replace(",", ""))
        assert shown == pytest.approx(found["forecasts"][name][title.strip()][count]["hours"], abs=0.0051)
