import csv
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from selfvos.data.benchmarks.base import Benchmark
from selfvos.data.benchmarks.davis import Davis
from selfvos.evaluation.report import (
    MEASURES,
    ObjectSeries,
    Report,
    data_hash,
    decimals,
    main_columns,
    mean_report,
    piped,
    results_hash,
    summarise,
)


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
    origin = {"weights": "abc123", "seed": 1.0, "track.match.top_k": "5"}
    return summarise(Set(note="2 of 30 sequences listed"), SERIES, origin)


@pytest.fixture
def root(tmp_path):
    """Two sequences of four frames in the layout of DAVIS 2017."""
    for name in ("cat", "dogs"):
        folder = tmp_path / "DAVIS" / "Annotations" / "480p" / name
        folder.mkdir(parents=True)
        for t in range(4):
            ids = np.zeros((12, 16), np.uint8)
            ids[2:8, t : t + 6] = 1
            Image.fromarray(ids).save(folder / f"{t:05d}.png")
    lists = tmp_path / "DAVIS" / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("cat\ndogs\n")
    return tmp_path / "DAVIS"


@pytest.fixture
def masks(root):
    return root / "Annotations" / "480p"


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
    assert data["provenance"] == {"weights": "abc123", "seed": 1, "track.match.top_k": "5"}
    assert "per_attribute" not in data
    assert (data["objects"], data["frames"]) == (3, 6)


def test_table_is_aligned(report):
    title, blank, header, overall, *objects, last, origin = report.table().splitlines()
    assert title == "davis-2017-val (2 of 30 sequences listed): 3 objects, 6 frames"
    assert blank == ""
    assert header.split() == list(MEASURES)
    assert overall.split() == ["all", "0.558", "0.567", "0.500", "0.222", "0.550", "0.500", "0.167"]
    assert [line.split()[0] for line in objects] == ["dogs_1", "dogs_2", "cat_1"]
    assert len({len(line) for line in [header, overall, *objects]}) == 1
    assert (last, origin) == ("", "weights abc123, seed 1.0")


def test_markdown_holds_scores_and_provenance(report):
    scores, origin = report.markdown().split("\n\n")[1:]
    assert report.markdown().splitlines()[0] == report.table().splitlines()[0]
    assert {line.count("|") for line in scores.splitlines()} == {len(MEASURES) + 2}
    assert scores.splitlines()[2].startswith("| all | 0.558 | 0.567 |")
    assert {line.count("|") for line in origin.splitlines()} == {3}
    assert "| track.match.top_k | 5 |" in origin


def test_a_bar_does_not_break_a_markdown_table():
    assert piped([["", "b"], ["x|y", "1"]]).splitlines()[2] == "| x\\|y | 1 |"


def test_attributes_add_a_table_and_a_key(report):
    with_them = report.with_attributes({"dogs": ("OCC",), "cat": ("FM", "OCC")})
    assert with_them.per_attribute["FM"]["objects"] == 1
    assert with_them.per_attribute["FM"]["J-Mean"] == pytest.approx(0.7)
    assert with_them.per_attribute["FM"]["J-Mean of others"] == pytest.approx(0.5)
    assert "FM fast motion" in with_them.table()
    assert "| FM fast motion | 1 |" in with_them.markdown()
    data = json.loads(json.dumps(with_them.to_dict(), allow_nan=False))
    assert data["per_attribute"]["OCC"]["J-Mean of others"] is None  # no object is without it
    assert report.with_attributes({}) == report


def test_columns_of_the_whole_may_be_others_than_those_of_its_parts(report):
    whole, objects = replace(report, overall={"G": 0.5, "J_seen": 0.4}).tables()
    assert whole == [["", "G", "J_seen"], ["all", "0.500", "0.400"]]
    assert objects[0][1:] == list(MEASURES)
    assert objects[1][0] == "dogs_1"


def test_numbers_are_spelt_for_people():
    assert [decimals(value) for value in (3, 0.5, -0.0001, -0.25, float("nan"))] == [
        "3",
        "0.500",
        "0.000",
        "-0.250",
        "-",
    ]
    assert main_columns(MEASURES) == ["J&F-Mean", "J-Mean", "F-Mean"]
    assert main_columns(["PCK@0.1", "PCK@0.2"]) == ["PCK@0.1", "PCK@0.2"]


def test_a_title_without_note_has_no_brackets():
    title = summarise(Set(), SERIES).table().splitlines()[0]
    assert title == "davis-2017-val: 3 objects, 6 frames"


def test_files_are_those_of_the_official_scorer(report, tmp_path):
    report.write(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "global_results-val.csv",
        "per-sequence_results-val.csv",
        "report.csv",
        "report.json",
        "report.md",
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


def test_every_column_of_every_object_is_in_one_file(report, tmp_path):
    report.write(tmp_path)
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["object", *MEASURES]
    assert [row["object"] for row in rows] == ["dogs_1", "dogs_2", "cat_1"]
    assert float(rows[0]["J-Decay"]) == pytest.approx(2 / 3, abs=1e-6)
    assert (tmp_path / "report.md").read_text() == report.markdown()


def test_undefined_values_are_valid_json(tmp_path):
    report = summarise(Set(), [series("cat", 1, np.array([0.5, np.nan, 0.7]), np.ones(3))])
    report.write(tmp_path)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    saved = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert saved["series"]["cat_1"]["J"] == [0.5, None, 0.7]


def test_the_hash_of_the_data_is_that_of_the_scored_masks(root, masks):
    benchmark = Davis(root, year=2017, split="val")
    before = data_hash(benchmark)
    assert len(before) == 64
    Image.fromarray(np.full((12, 16), 1, np.uint8)).save(masks / "cat" / "00003.png")  # the last frame is not scored
    assert data_hash(Davis(root, year=2017, split="val")) == before
    (root / "ImageSets" / "2017" / "val.txt").write_text("dogs\ncat\n")
    assert data_hash(Davis(root, year=2017, split="val")) == before
    Image.fromarray(np.full((12, 16), 1, np.uint8)).save(masks / "cat" / "00002.png")
    assert data_hash(Davis(root, year=2017, split="val")) != before
    (root / "ImageSets" / "2017" / "val.txt").write_text("dogs\n")
    assert data_hash(Davis(root, year=2017, split="val")) != before


def test_masks_that_are_kept_in_another_way_have_a_hash_too(root, monkeypatch):
    benchmark = Davis(root, year=2017, split="val")
    monkeypatch.setattr(type(benchmark.videos[0]), "mask_files", {})
    before = data_hash(benchmark)
    monkeypatch.setattr(type(benchmark.videos[0]), "truth", lambda *_: np.ones((12, 16), np.uint8))
    assert data_hash(benchmark) != before


def test_the_hash_of_results_is_that_of_their_scored_masks(root, masks):
    benchmark = Davis(root, year=2017, split="val")
    before = results_hash(benchmark, masks)
    (masks / "dogs" / "00003.png").unlink()
    (masks / "dogs" / "extra.png").write_bytes(b"no matter")
    assert results_hash(benchmark, masks) == before
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(masks / "dogs" / "00001.png")
    assert results_hash(benchmark, masks) != before


def test_older_tables_are_replaced_and_never_read(report, tmp_path):
    for name in ("global_results-val.csv", "per-sequence_results-val.csv"):
        (tmp_path / name).write_text("J&F-Mean\n0.999\n")
    report.write(tmp_path)
    with open(tmp_path / "global_results-val.csv", newline="") as file:
        assert next(csv.DictReader(file))["J&F-Mean"] == "0.558"


def test_reports_of_several_seeds_are_averaged_frame_by_frame(report):
    other = summarise(Set(), [replace(one, values={k: v / 2 for k, v in one.values.items()}) for one in report.series])
    one, two = (replace(r, provenance={"weights": w, "torch": "2"}) for r, w in ((report, "a"), (other, "b")))
    mean = mean_report([one, two])
    assert mean.overall == {c: pytest.approx((one.overall[c] + two.overall[c]) / 2) for c in one.overall}
    assert mean.series[0].values["J"] == pytest.approx(0.75 * report.series[0].values["J"])
    name = report.series[0].name
    assert mean.per_object[name]["J-Recall"] == pytest.approx(
        (one.per_object[name]["J-Recall"] + two.per_object[name]["J-Recall"]) / 2
    )
    assert mean.provenance == {"torch": "2"}
    assert mean_report([one]) is one


def test_a_report_on_nothing_is_refused():
    with pytest.raises(ValueError, match="no object to report on"):
        summarise(Set(), [])


def test_columns_are_those_of_a_published_table(shared_data):
    folder = shared_data / "peer_results" / "contrastcorr_davis2017val"
    with open(folder / "global_results-val.csv", newline="") as file:
        assert next(csv.reader(file)) == list(MEASURES)
    with open(folder / "per-sequence_results-val.csv", newline="") as file:
        assert next(csv.reader(file)) == ["Sequence", "J-Mean", "F-Mean"]
