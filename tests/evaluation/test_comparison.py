import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfvos.errors import UsageError
from selfvos.evaluation.comparison import bootstrap_interval, compare, unique_names
from selfvos.evaluation.report import MEASURES, ObjectSeries, Report, statistics

VIDEOS = ("cat", "dogs", "dogs", "swan")


def report(levels, *, data="d1", group=""):
    """Report on four objects of three videos whose J and F are constant."""
    objects = (1, 1, 2, 1)
    series = tuple(
        ObjectSeries(
            video=video,
            object=one,
            frames=("00001", "00002"),
            values={"J": np.full(2, level), "F": np.full(2, level)},
            group=group,
        )
        for video, one, level in zip(VIDEOS, objects, levels, strict=True)
    )
    rows = {one.name: one.measures() for one in series}
    return Report(
        protocol="davis-2017-val",
        subset="val",
        note="",
        overall={column: float(np.mean([row[column] for row in rows.values()])) for column in MEASURES},
        per_object=rows,
        series=series,
        provenance={"data": data, "results": f"r{levels[0]}"},
    )


@pytest.fixture
def comparison():
    return compare(
        {"old": report((0.5, 0.6, 0.7, 0.8)), "new": report((0.6, 0.7, 0.5, 0.9)), "bad": report((0.1,) * 4)}
    )


def test_the_interval_of_equal_differences_is_a_point():
    low, high = bootstrap_interval([np.full(3, 0.25), np.full(1, 0.25)])
    assert (low, high) == (pytest.approx(0.25), pytest.approx(0.25))


def test_the_interval_is_that_of_theory_for_many_normal_differences():
    values = np.random.default_rng(3).normal(0.1, 0.2, 400)
    low, high = bootstrap_interval([np.array([value]) for value in values])
    spread = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - spread, abs=0.002)
    assert high == pytest.approx(values.mean() + spread, abs=0.002)


def test_objects_of_one_video_are_drawn_together():
    rng = np.random.default_rng(0)
    levels = rng.normal(0, 0.2, 20)
    together = bootstrap_interval([np.full(5, level) for level in levels])
    apart = bootstrap_interval([np.array([level]) for level in levels for _ in range(5)])
    assert together == pytest.approx(bootstrap_interval([np.array([level]) for level in levels]))
    assert together[1] - together[0] > 1.8 * (apart[1] - apart[0])


def test_the_same_seed_gives_the_same_interval():
    groups = [np.array([0.1]), np.array([0.4, 0.2]), np.array([-0.3])]
    assert bootstrap_interval(groups, seed=1) == bootstrap_interval(groups, seed=1)
    assert bootstrap_interval(groups, samples=50, seed=1) != bootstrap_interval(groups, samples=50, seed=2)


def test_one_video_tells_nothing_of_its_spread():
    assert all(math.isnan(end) for end in bootstrap_interval([np.array([0.1, 0.2])]))


@given(st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=3), min_size=2, max_size=6))
def test_the_interval_lies_within_the_values(groups):
    low, high = bootstrap_interval([np.array(group) for group in groups], samples=100)
    values = [value for group in groups for value in group]
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_differences_are_paired_and_counted_by_video(comparison):
    found = comparison.differences["new"]["J&F-Mean"]
    assert found.mean == pytest.approx((0.1 + 0.1 - 0.2 + 0.1) / 4)
    assert (found.ahead, found.videos) == (2, 3)  # the two dogs together are behind
    assert found.low <= found.mean <= found.high
    assert list(comparison.differences) == ["new", "bad"]
    assert list(comparison.differences["bad"]) == ["J&F-Mean", "J-Mean", "F-Mean"]


def test_the_table_shows_scores_differences_and_the_whole(comparison):
    lines = comparison.table(strong=lambda text: f"<{text}>").splitlines()
    assert lines[0] == "davis-2017-val: 4 objects, 6 frames, J&F-Mean"
    assert lines[2].split() == ["old", "new", "diff", "bad", "diff"]
    assert lines[3].split() == ["cat_1", "0.500", "<0.600>", "+0.100", "0.100", "-0.400"]
    assert lines[5].split() == ["dogs_2", "<0.700>", "0.500", "-0.200", "0.100", "-0.600"]
    assert lines[7].split()[0] == "all"
    assert lines[9] == "mean difference [95% interval, bootstrap over 3 videos]:"
    assert lines[11].split()[-3:] == ["2", "of", "3"]
    assert lines[14].startswith("old: data d1, results r0.5")
    plain = comparison.table().splitlines()
    assert len({len(line) for line in plain[2:8]}) == 1


def test_equal_scores_have_no_best():
    same = compare({"a": report((0.5,) * 4), "b": report((0.5,) * 4)})
    assert not any(cell.best for row in same.objects() for cell in row)
    assert same.differences["b"]["J&F-Mean"].mean == 0


def test_less_decay_is_better(comparison):
    column = [cell.text for cell in comparison.summary()[0]].index("J-Decay")
    assert not any(row[column].best for row in comparison.summary())  # all are constant
    falling = report((0.5,) * 4)
    for one in falling.series:
        one.values["J"][:] = (0.9, 0.1)
    decay = {column: statistics(falling.series[0].values["J"]).decay for column in ("J-Decay",)}
    other = Report(**{**vars(falling), "overall": {**falling.overall, **decay}})
    summary = compare({"falling": other, "flat": report((0.5,) * 4)}).summary()
    assert [row[column].best for row in summary[1:]] == [False, True]


def test_a_whole_with_other_columns_is_named():
    first, second = (report(levels) for levels in ((0.5,) * 4, (0.6,) * 4))
    grouped = [Report(**{**vars(one), "overall": {"G": value}}) for one, value in ((first, 0.4), (second, 0.7))]
    last = compare({"a": grouped[0], "b": grouped[1]}).objects()[-1]
    assert [cell.text for cell in last] == ["all (G)", "0.400", "0.700", "+0.300"]
    assert last[2].best


def test_objects_that_are_undefined_do_not_count():
    first, second = report((0.5, 0.5, 0.5, 0.5)), report((0.6, 0.6, 0.6, 0.6))
    second.per_object["cat_1"]["J-Mean"] = float("nan")
    found = compare({"a": first, "b": second}).differences["b"]["J-Mean"]
    assert found.mean == pytest.approx(0.1)
    assert found.videos == 2


def test_files_hold_everything_and_replace_older_ones(comparison, tmp_path):
    (tmp_path / "comparison.csv").write_text("old")
    comparison.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"comparison.{kind}" for kind in ("csv", "json", "md")]
    with open(tmp_path / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * len(MEASURES)
    assert rows[0] == {
        "object": "cat_1",
        "column": "J&F-Mean",
        "old": "0.500000",
        "new": "0.600000",
        "bad": "0.100000",
        "new - old": "0.100000",
        "bad - old": "-0.400000",
    }
    saved = json.loads((tmp_path / "comparison.json").read_text())
    assert saved["against"] == "old"
    assert saved["results"]["new"]["provenance"]["results"] == "r0.6"
    assert saved["differences"]["new"]["F-Mean"]["videos"] == 3
    assert saved["interval"] == {"share": 0.95, "samples": 10000, "seed": 0, "drawn": "videos"}


def test_markdown_has_four_tables_with_the_best_in_bold(comparison):
    text = comparison.markdown()
    assert "| cat_1 | 0.500 | **0.600** | +0.100 | 0.100 | -0.400 |" in text
    assert "| results | r0.5 | r0.6 | r0.1 |" in text
    assert text.count("| --- |") == 4


def test_results_on_other_data_are_refused():
    with pytest.raises(UsageError, match="a and b were scored on different data"):
        compare({"a": report((0.5,) * 4), "b": report((0.5,) * 4, data="d2")})
    with pytest.raises(UsageError, match="at least 2 results"):
        compare({"a": report((0.5,) * 4)})


def test_names_are_as_short_as_they_can_be(tmp_path):
    paths = [tmp_path / name for name in ("ours/masks", "theirs/masks", "stm")]
    assert unique_names(paths) == ["ours/masks", "theirs/masks", f"{tmp_path.name}/stm"]
    assert unique_names(paths[1:]) == ["masks", "stm"]
    with pytest.raises(UsageError, match="given twice"):
        unique_names([Path("a"), Path("a/../a")])
