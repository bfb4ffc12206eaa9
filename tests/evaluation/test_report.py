import csv
import json
from dataclasses import dataclass

import numpy as np
import pytest

from selfvos.data.benchmarks.base import Benchmark
from selfvos.evaluation.report import MEASURES, ObjectSeries, Report, summarise


@dataclass
class Set(Benchmark):
    """As much of a benchmark as a report asks for."""

    name: str = "davis-2017-val"
    subset: str = "val"
    note: str = ""
    videos: tuple = ()

    def read_result(self, path):
        raise NotImplementedError


def series(video, object, region, boundary):
    frames = tuple(f"{i:05d}" for i in range(1, len(region) + 1))
    return ObjectSeries(video=video, object=object, frames=frames, values={"J": region, "F": boundary})


SERIES = (
    series("dogs", 1, np.linspace(1, 0, 4), np.ones(4)),
    series("dogs", 2, np.full(4, 0.5), np.zeros(4)),
    series("cat", 1, np.array([0.7, 0.7]), np.array([0.9, 0.4])),
)


@pytest.fixture
def report() -> Report:
    return summarise(Set(note="2 of 30 sequences listed"), SERIES, {"weights": "abc123", "seed": 1.0})


def test_means_are_over_objects(report):
    assert report.overall == pytest.approx(
        {
            "J&F-Mean": (0.75 + 0.25 + 0.675) / 3,
            "J-Mean": (0.5 + 0.5 + 0.7) / 3,
            "J-Recall": (0.5 + 0 + 1) / 3,
            "J-Decay": (2 / 3 + 0 + 0) / 3,
            "F-Mean": (1 + 0 + 0.65) / 3,
            "F-Recall": (1 + 0 + 0.5) / 3,
            "F-Decay": (0 + 0 + 0.5) / 3,
        }
    )
    assert report.overall["J&F-Mean"] == pytest.approx((report.overall["J-Mean"] + report.overall["F-Mean"]) / 2)


def test_frames_are_counted_once_however_many_objects(report):
    assert report.objects == 3
    assert report.frames == 6


def test_plain_data_hold_every_measure_and_where_it_comes_from(report):
    data = json.loads(json.dumps(report.to_dict()))
    assert list(data)[:7] == list(MEASURES)
    assert list(data["per_sequence"]) == ["dogs_1", "dogs_2", "cat_1"]
    assert set(data["per_sequence"]["dogs_1"]) == set(MEASURES)
    assert data["per_sequence"]["dogs_1"]["J-Mean"] == 0.5
    assert data["protocol"] == "davis-2017-val"
    assert data["note"] == "2 of 30 sequences listed"
    assert data["provenance"] == {"weights": "abc123", "seed": 1}
    assert (data["objects"], data["frames"]) == (3, 6)


def test_table_is_aligned(report):
    title, blank, header, overall, *objects = report.table().splitlines()
    assert title == "davis-2017-val (2 of 30 sequences listed): 3 objects, 6 frames"
    assert blank == ""
    assert header.split() == list(MEASURES)
    assert overall.split() == ["all", "0.558", "0.567", "0.500", "0.222", "0.550", "0.500", "0.167"]
    assert [line.split()[0] for line in objects] == ["dogs_1", "dogs_2", "cat_1"]
    assert len({len(line) for line in [header, overall, *objects]}) == 1


def test_markdown_is_a_table(report):
    lines = report.markdown().splitlines()
    assert lines[0] == report.table().splitlines()[0]
    assert {line.count("|") for line in lines[2:]} == {len(MEASURES) + 2}
    assert lines[4].startswith("| all | 0.558 | 0.567 |")


def test_a_title_without_note_has_no_brackets():
    title = summarise(Set(), SERIES).table().splitlines()[0]
    assert title == "davis-2017-val: 3 objects, 6 frames"


def test_files_are_those_of_the_official_scorer(report, tmp_path):
    report.write(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "global_results-val.csv",
        "per-sequence_results-val.csv",
        "report.json",
    ]
    assert (tmp_path / "out" / "global_results-val.csv").read_text() == (
        "J&F-Mean,J-Mean,J-Recall,J-Decay,F-Mean,F-Recall,F-Decay\n0.558,0.567,0.500,0.222,0.550,0.500,0.167\n"
    )
    assert (tmp_path / "out" / "per-sequence_results-val.csv").read_text() == (
        "Sequence,J-Mean,F-Mean\ndogs_1,0.500,1.000\ndogs_2,0.500,0.000\ncat_1,0.700,0.650\n"
    )


def test_the_saved_report_keeps_the_frames(report, tmp_path):
    report.write(tmp_path)
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["series"]["cat_1"] == {"frames": ["00001", "00002"], "J": [0.7, 0.7], "F": [0.9, 0.4]}
    assert {key: value for key, value in saved.items() if key != "series"} == report.to_dict()


def test_older_tables_are_replaced_and_never_read(report, tmp_path):
    for name in ("global_results-val.csv", "per-sequence_results-val.csv"):
        (tmp_path / name).write_text("J&F-Mean\n0.999\n")
    report.write(tmp_path)
    with open(tmp_path / "global_results-val.csv", newline="") as file:
        assert next(csv.DictReader(file))["J&F-Mean"] == "0.558"


def test_a_report_on_nothing_is_refused():
    with pytest.raises(ValueError, match="no object to report on"):
        summarise(Set(), [])


def test_columns_are_those_of_a_published_table(shared_data):
    folder = shared_data / "peer_results" / "contrastcorr_davis2017val"
    with open(folder / "global_results-val.csv", newline="") as file:
        assert next(csv.reader(file)) == list(MEASURES)
    with open(folder / "per-sequence_results-val.csv", newline="") as file:
        assert next(csv.reader(file)) == ["Sequence", "J-Mean", "F-Mean"]
