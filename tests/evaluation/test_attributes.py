import math

import pytest

from selfvos.errors import DataError
from selfvos.evaluation.attributes import by_attribute, label, read_attributes

INFO = """
attributes: [AC, OCC]
sequences:
- attributes: [OCC, AC]
  eval_t: true
  name: bear
  num_frames: 82
  set: train
- attributes: []
  name: swan
- name: goat
"""
KNOWN = {"bear": ("OCC", "AC"), "swan": (), "goat": ()}
ROWS = {"bear_1": {"J-Mean": 0.2}, "bear_2": {"J-Mean": 0.4}, "goat_1": {"J-Mean": 0.9}}
VIDEOS = {"bear_1": "bear", "bear_2": "bear", "goat_1": "goat"}


@pytest.mark.parametrize("place", ["db_info.yml", "db_info.yaml", "Annotations/db_info.yml", "data/db_info.yaml"])
def test_attributes_are_found_in_every_place(tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(INFO)
    assert read_attributes(tmp_path) == KNOWN


def test_no_file_means_no_attributes(tmp_path):
    assert read_attributes(tmp_path) == {}


@pytest.mark.parametrize(
    "text", ["", "3", "sequences: 3", "sequences: [bear]", "sequences: [{set: val}]", "a: [", "\0"]
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path, text):
    (tmp_path / "db_info.yml").write_text(text)
    with pytest.raises(DataError, match=r"db_info\.yml is no list of sequences"):
        read_attributes(tmp_path)


def test_means_are_over_the_objects_with_an_attribute_and_over_the_others():
    found = by_attribute(ROWS, VIDEOS, KNOWN, ["J-Mean"])
    assert list(found) == ["AC", "OCC"]
    assert found["AC"] == {"objects": 2, "J-Mean": pytest.approx(0.3), "J-Mean of others": pytest.approx(0.9)}


def test_an_attribute_of_all_has_no_others():
    found = by_attribute(ROWS, VIDEOS, {"bear": ("FM",), "goat": ("FM",)}, ["J-Mean"])
    assert found["FM"]["J-Mean"] == pytest.approx(0.5)
    assert math.isnan(found["FM"]["J-Mean of others"])


def test_videos_that_are_not_scored_add_nothing():
    assert by_attribute(ROWS, VIDEOS, {"lion": ("LR",)}, ["J-Mean"]) == {}


def test_labels_spell_out_what_is_known():
    assert label("OCC") == "OCC occlusion"
    assert label("XX") == "XX"
