import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfvos.data.kinds import PICTURES, VIDEOS, in_order, is_kind, list_pictures, natural
from selfvos.errors import DataError


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_sort_as_numbers(numbers):
    names = sorted((f"shot{n}.jpg" for n in numbers), key=natural)
    assert names == [f"shot{n}.jpg" for n in sorted(numbers)]


@given(st.lists(st.text(max_size=8), max_size=6))
def test_any_names_can_be_sorted_and_only_one_way(names):
    backwards = names[::-1]
    assert sorted(names, key=natural) == sorted(backwards, key=natural)


STEMS = st.text(st.sampled_from("ab019_-. A"), min_size=1, max_size=6).filter(lambda stem: stem[0] not in ". ")


@given(stems=st.lists(STEMS, unique=True, max_size=8), seed=st.integers(0, 99))
def test_masks_come_in_the_order_of_their_frames_in_whichever_order_they_are_listed(stems, seed):
    frames, masks = [Path(f"{stem}.jpg") for stem in stems], [Path(f"{stem}.png") for stem in stems]
    random.Random(seed).shuffle(masks)
    assert [file.stem for file in in_order(frames)] == [file.stem for file in in_order(masks)]


def test_a_name_without_a_number_comes_before_the_numbered():
    assert [file.name for file in in_order(map(Path, ("a10.png", "a.png", "a2.png")))] == ["a.png", "a2.png", "a10.png"]


def test_kinds_are_told_by_the_suffix_in_any_case_and_hidden_files_are_of_none():
    assert is_kind("a.PNG", PICTURES)
    assert is_kind("a.Ts", VIDEOS)
    assert not is_kind("._a.png", PICTURES)
    assert not is_kind("a.txt", PICTURES | VIDEOS)
    assert not PICTURES & VIDEOS


def test_pictures_of_a_folder_are_listed_in_order(tmp_path):
    for name in ("10.png", "9.JPG", ".8.png", "x.txt"):
        (tmp_path / name).touch()
    (tmp_path / "7.png").mkdir()
    assert [file.name for file in list_pictures(tmp_path)] == ["9.JPG", "10.png"]


def test_a_folder_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    def forbidden(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(DataError, match="permission denied"):
        list_pictures(tmp_path)
