import os

import pytest

from selfvos.data.files import is_folder, named, require_file
from selfvos.errors import BrokenVideo, DataError, UsageError


def test_a_name_in_a_message_is_one_short_line():
    assert named("clips/dog.mp4") == "clips/dog.mp4"
    assert named("a\nb\x1b[31m\udcff") == "a\\nb\\x1b[31m\\udcff"
    assert len(named("x" * 5000)) < 250
    assert "(5000 characters)" in named("x" * 5000)


def test_every_kind_of_what_cannot_be_read_has_its_own_message(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    os.symlink(tmp_path / "gone", tmp_path / "link")
    told = {}
    for name in ("folder", "empty", "pipe", "link", "nothing", "y" * 300, "a\0b"):
        with pytest.raises((DataError, UsageError)) as caught:
            require_file(tmp_path / name, BrokenVideo)
        told[name] = (caught.type, str(caught.value).replace(named(tmp_path / name), ""))
        assert "\n" not in str(caught.value)
    assert len({message for _, message in told.values()}) == 7
    assert {name for name, (kind, _) in told.items() if kind is UsageError} == {"link", "nothing", "y" * 300, "a\0b"}


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"x")
    require_file(tmp_path / "a.mp4")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DataError, match="permission denied"):
        require_file(tmp_path / "a.mp4")


def test_a_name_that_no_system_accepts_is_no_folder(tmp_path):
    assert is_folder(tmp_path)
    assert not is_folder(tmp_path / ("x" * 5000))
    assert not is_folder(tmp_path / "a\0b")
