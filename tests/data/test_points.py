import math

import numpy as np
import pytest

from selfvos.data.points import read_points, write_points
from selfvos.errors import DataError

PLACES = {"00001": np.array([[1.5, 2.0], [math.nan, math.nan]]), "00002": np.array([[0.0, 319.123], [7.0, 8.0]])}
TABLE = "frame,joint,x,y\n00001,1,1.5,2\n00001,2,,\n00002,1,0,319.123\n00002,2,7,8\n"


def test_points_are_a_row_each_and_come_back(tmp_path):
    write_points(tmp_path / "a" / "clip.csv", PLACES, (1, 2))
    assert (tmp_path / "a" / "clip.csv").read_text() == TABLE
    back = read_points(tmp_path / "a" / "clip.csv", ("00001", "00002"), (1, 2))
    np.testing.assert_array_equal(back, np.stack(list(PLACES.values())))


def test_tables_of_others_may_hold_more(tmp_path):
    path = tmp_path / "clip.csv"
    path.write_text("\ufeffscore,frame,joint,x,y\n.5, a ,2,1e1,3\n.5,b,2,,\n.1,a,3,0,0\n")
    assert read_points(path, ("a",), (2,)).tolist() == [[[10.0, 3.0]]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no result .*clip.csv: write one table per video"),
        ("frame,joint,x\n", "has no column y"),
        ("", "has no column frame"),
        (TABLE.replace("00002,2,7,8\n", ""), r"no row for frame 00002, joint 2 \(1 of 4 missing\)"),
        (TABLE + "00001,1,3,4\n", "line 6: frame 00001, joint 1 is there twice"),
        (TABLE.replace("7,8", "7,"), "line 5: x '7' and y '' are no numbers"),
        (TABLE.replace("7,8", "nan,nan"), "line 5: x nan and y nan must be finite"),
        (b"frame,joint,x,y\n\xff\xfe,1,2,3\n", "is no table"),
    ],
)
def test_what_is_no_table_of_points_is_refused(tmp_path, text, words):
    path = tmp_path / "clip.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=words):
        read_points(path, ("00001", "00002"), (1, 2))
