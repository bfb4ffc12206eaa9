import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from selfvos.formats.base import FORMATS, Job
from selfvos.formats.measures import rows
from selfvos.formats.memory import Known, Moment, centroids, measured, track_of

# A square of four pixels that moves by 3 across and 4 down in half a second, is lost, and is found at rest.
SECONDS = (0.0, 0.5, 1.0, 1.5, 2.0)
CORNERS = ((1, 2), (5, 5), None, (0, 0), (0, 0))


@pytest.fixture
def square():
    masks = []
    for corner in CORNERS:
        ids = np.zeros((9, 9), np.uint8)
        if corner is not None:
            ids[corner[0] : corner[0] + 2, corner[1] : corner[1] + 2] = 3
        masks.append(ids)
    moments = [Moment(index=10 + i, name=f"{10 + i:05d}", seconds=s) for i, s in enumerate(SECONDS)]
    scores = {(place, 3): 0.25 * (place + 1) for place in range(4)}
    return track_of(masks.__getitem__, 5, Known(name="square", moments=moments, fps=2.0, confidences=scores))


def test_measures_are_those_of_the_square(square):
    found = list(rows(square, Job(stage="")))
    assert [row.frame for row in found] == [10, 11, 12, 13, 14]
    assert [row.area_px for row in found] == [4, 4, 0, 4, 4]
    assert [(row.centroid_x_px, row.centroid_y_px) for row in found] == [(3, 2), (6, 6), (None, None), (1, 1), (1, 1)]
    # Five pixels in half a second; nothing is said where the frame before did not show it.
    assert [row.speed_px_per_s for row in found] == [None, 10.0, None, None, 0.0]
    assert [row.confidence for row in found] == [0.25, 0.5, 0.0, 1.0, 1.0]
    assert [row.lost for row in found] == [False, False, True, False, False]
    box = [(r.box_left_px, r.box_top_px, r.box_width_px, r.box_height_px) for r in found]
    assert box == [(2, 1, 2, 2), (5, 5, 2, 2), (None,) * 4, (0, 0, 2, 2), (0, 0, 2, 2)]


def test_csv_leaves_empty_what_is_not_there(square, tmp_path):
    FORMATS.get("csv")().write(square, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 5
    assert table[1]["speed_px_per_s"] == "10.0"
    assert table[1]["lost"] == "0"
    assert (table[2]["centroid_x_px"], table[2]["box_left_px"], table[2]["lost"]) == ("", "", "1")
    assert [row["name"] for row in table] == ["object 3"] * 5


def test_parquet_holds_the_same_rows_with_their_types(square, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra table is not installed")
    monkeypatch.setattr("selfvos.formats.parquet_table._ROWS_AT_ONCE", 2)
    FORMATS.get("parquet")().write(square, tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert parquet.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3
    assert table.to_pylist() == [vars(row) for row in rows(square, Job(stage=""))]
    assert str(table.schema.field("lost").type) == "bool"
    assert str(table.schema.field("area_px").type) == "int64"


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=8), elements={"min_value": 0, "max_value": 4}))
def test_areas_boxes_and_centroids_are_those_of_the_pixels(ids):
    found, centres = {state.id: state for state in measured(ids)}, centroids(ids)
    assert set(found) == set(centres) == set(np.unique(ids).tolist()) - {0}
    for number, state in found.items():
        y, x = np.nonzero(ids == number)
        assert state.area == len(y)
        assert state.box == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert centres[number] == pytest.approx((x.mean() + 0.5, y.mean() + 0.5))
