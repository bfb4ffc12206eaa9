import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfvos.batch.manifest import Defaults, Row, read_manifest, write_manifest
from selfvos.errors import DataError, UsageError


def _rows(tmp_path, *rows, defaults=None):
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(read_manifest(path, defaults))


def test_paths_are_relative_to_the_manifest_and_urls_stay(tmp_path):
    first, second = _rows(
        tmp_path, {"video": "a/dog.mp4", "mask": "/masks/d.png"}, {"video": "s3://bucket/cat.mp4", "mask": "m/c.png"}
    )
    assert (first.name, first.video, first.mask) == ("dog", str(tmp_path / "a/dog.mp4"), "/masks/d.png")
    assert (second.name, second.video, second.mask) == ("cat", "s3://bucket/cat.mp4", str(tmp_path / "m/c.png"))


def test_rows_without_mask_take_it_from_a_folder_or_have_it_discovered(tmp_path):
    [row] = _rows(tmp_path, {"video": "dog.mp4"}, defaults=Defaults(mask_dir="/first/"))
    assert row.mask == "/first/dog.png"
    [row] = _rows(tmp_path, {"video": "dog.mp4"}, defaults=Defaults(discover=True))
    assert row.mask == ""
    with pytest.raises(DataError, match=r"line 1: no mask; give the field 'mask', --mask-dir DIR"):
        _rows(tmp_path, {"video": "dog.mp4"})


def test_settings_are_texts_or_an_object(tmp_path):
    first, second = _rows(
        tmp_path,
        {"video": "a.mp4", "mask": "a.png", "settings": ["match.top_k=5"]},
        {"video": "b.mp4", "mask": "b.png", "settings": {"match.top_k": 5}},
    )
    assert first.settings == second.settings == ("match.top_k=5",)


def test_a_name_that_files_cannot_have_is_replaced_where_it_was_not_given(tmp_path):
    [row] = _rows(tmp_path, {"video": "https://x.org/a%20b.mp4?x=1/2:3.mp4", "mask": "m.png"})
    assert row.name.startswith("2_3-")
    assert len(row.name) == len("2_3-") + 8


def test_the_key_follows_from_everything_in_the_row():
    row = Row(name="a", video="a.mp4", mask="a.png")
    others = [Row(name="a", video="a.mp4", mask="b.png"), Row(name="a", video="a.mp4", mask="a.png", mask_frame=1)]
    assert row.key == Row(name="a", video="a.mp4", mask="a.png").key
    assert row.key not in {other.key for other in others}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([], "a row is a JSON object"),
        ({}, "no video"),
        ({"video": ""}, "no video"),
        ({"video": 3}, "video is int"),
        ({"video": "a.mp4", "mask": "m.png", "colour": 1}, "unknown field 'colour'"),
        ({"video": "a.mp4", "mask": "m.png", "name": "../../etc/passwd"}, "cannot be a file name"),
        ({"video": "a.mp4", "mask": "m.png", "name": ".hidden"}, "cannot be a file name"),
        ({"video": "a.mp4", "mask": "m.png", "name": "x" * 200}, "cannot be a file name"),
        ({"video": "a.mp4\0", "mask": "m.png"}, "characters that no name can have"),
        ({"video": "a.mp4", "mask": "m.png", "mask_frame": -1}, "mask_frame counts from 0"),
        ({"video": "a.mp4", "mask": "m.png", "mask_frame": True}, "mask_frame is bool"),
        ({"video": "a.mp4", "mask": "m.png", "fps": 0}, "fps is 0.001 to 1000"),
        ({"video": "a.mp4", "mask": "m.png", "sha256": "abc"}, "64 hexadecimal digits"),
        ({"video": "a.mp4", "mask": "m.png", "settings": ["top_k"]}, "settings are texts"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, row, words):
    good = {"video": "good.mp4", "mask": "good.png"}
    with pytest.raises(DataError, match=f"line 2.*{words}"):
        _rows(tmp_path, good, row)


def test_two_videos_of_one_name_are_refused_whatever_their_case(tmp_path):
    with pytest.raises(DataError, match="line 2: a second video called 'DOG'"):
        _rows(tmp_path, {"video": "a/dog.mp4", "mask": "m"}, {"video": "b/DOG.mp4", "mask": "m"})


def test_a_manifest_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no manifest"):
        list(read_manifest(tmp_path / "none.jsonl"))


def test_parquet_says_the_same_as_json_lines(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {"video": "a.mp4", "mask": "a.png", "fps": 12.0, "settings": ["match.top_k=5"]},
        {"video": "b.mp4", "mask": "b.png", "mask_frame": 3},
    ]
    columns = pyarrow.Table.from_pylist([rows[0] | {"mask_frame": None}, rows[1]])
    parquet.write_table(columns, tmp_path / "m.parquet")
    assert list(read_manifest(tmp_path / "m.parquet")) == _rows(tmp_path, *rows)


def test_what_is_written_is_read_again(tmp_path):
    rows = [
        Row(name="a", video="/v/a.mp4", mask="/m/a.png", settings=("match.top_k=5",)),
        Row(name="b", video="s3://x/b.mp4", mask="s3://x/b.png", mask_frame=2, sha256="0" * 64, fps=10.0),
    ]
    assert write_manifest(tmp_path / "m.jsonl", rows) == 2
    again = list(read_manifest(tmp_path / "m.jsonl"))
    assert again == rows
    assert [row.key for row in again] == [row.key for row in rows]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from(["video", "name", "mask", "mask_frame", "fps", "sha256", "settings", "other"])
_FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(content=st.binary(max_size=300), suffix=st.sampled_from([".jsonl", ".parquet"]))
def test_any_bytes_are_read_or_refused_in_words(tmp_path, content, suffix):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with suppress(DataError, UsageError):  # anything else is a bug, and comes out
        assert all(isinstance(row, Row) for row in read_manifest(path))


@_FUZZ
@given(rows=st.lists(st.dictionaries(_FIELDS, _VALUES, max_size=5) | _VALUES, max_size=3))
def test_any_json_is_read_or_refused_in_words(tmp_path, rows):
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with suppress(DataError):
        for row in read_manifest(path, Defaults(discover=True)):
            assert (tmp_path / row.name).parent == tmp_path
            assert not row.name.startswith(".")
