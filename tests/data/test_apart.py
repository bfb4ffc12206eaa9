"""Frames that another process decodes are the same frames, whatever becomes of that process."""

import gc
import logging
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.test_sound import draw, film, heard
from tests.data.test_video import encode, scenery

from selfvos.data import apart, apart_process
from selfvos.data.apart import ApartVideo, Limits, open_apart
from selfvos.data.overlay_video import OverlayVideo, looks_of
from selfvos.data.source import Source, open_source
from selfvos.data.video_hash import video_hash
from selfvos.errors import BrokenVideo, DataError, ResourceError, UsageError

pytestmark = pytest.mark.skipif(not apart_process.AVAILABLE, reason="no process can be confined on this system")


@pytest.fixture
def clip(tmp_path) -> Path:
    return encode(tmp_path / "clip.mp4", scenery(9))


@pytest.fixture
def readers(monkeypatch):
    """Give readers a nursery of their own, which may run any program, and end it afterwards."""
    nursery = apart_process._Nursery()
    monkeypatch.setattr(apart_process, "_nursery", nursery)

    def run(program: str) -> None:
        monkeypatch.setattr(apart_process, "_COMMAND", [sys.executable, "-P", "-c", program])

    yield run
    nursery.stop()


def lying(line: str) -> str:
    """Return a program whose readers do what a piece of code says in place of giving the next frame."""
    return f"""
import json, os, socket, time
from selfvos.data import apart_server
def lie(self):
    {line}
apart_server.Reader._next = lie
apart_server.serve(socket.socket(fileno=0))
"""


def told(frames):
    return [(frame.index, frame.name, frame.seconds, frame.rgb.tobytes()) for frame in frames]


def kinds(folder: Path) -> list[Path]:
    (folder / "walk").mkdir()
    for number, frame in enumerate(scenery(4)):
        Image.fromarray(frame).save(folder / "walk" / f"p{number}.png")
    for name in ("a.gif", "a.tif"):
        first, *rest = [Image.fromarray(frame) for frame in scenery(4)]
        first.save(folder / name, save_all=True, append_images=rest)
    return [encode(folder / "a.mp4", scenery(4)), folder / "walk", folder / "a.gif", folder / "a.tif"]


def test_every_kind_of_video_is_the_same_apart(tmp_path):
    for path in kinds(tmp_path):
        here, there = open_source(path, fps=7.0), open_apart(path, fps=7.0)
        assert isinstance(there, ApartVideo)
        assert isinstance(there, Source)
        for fact in ("name", "size", "fps", "count", "pixel_aspect", "sound", "partial", "path"):
            assert getattr(here, fact) == getattr(there, fact), (path, fact)
        assert here.exact_count() == there.exact_count()
        assert told(here) == told(there)
        assert video_hash(here) == video_hash(there)


@pytest.mark.parametrize("span", [(3,), (2, 5), (0, 9, 4), (None, None, -1), (7, 2, -2), (8, 9)])
def test_any_frames_can_be_had_in_any_order(clip, span):
    assert told(open_apart(clip).frames(*span)) == told(open_source(clip).frames(*span))


def test_a_relative_path_is_read_from_where_this_process_is(clip, monkeypatch):
    list(open_apart(clip))  # the process that readers are forked from began elsewhere
    monkeypatch.chdir(clip.parent)
    source = open_apart(clip.name)
    monkeypatch.chdir("/")
    assert told(source) == told(open_source(clip))
    with pytest.raises(UsageError, match="no such file: gone.mp4"):
        open_apart("gone.mp4")


def test_readings_beside_each_other_do_not_meet(clip):
    video = open_apart(clip)
    first, second = video.frames(), video.frames(8, None, -1)
    pairs = [(one.index, other.index) for one, other in zip(first, second, strict=True)]
    assert pairs == [(i, 8 - i) for i in range(9)]
    half = video.frames()
    next(half)
    half.close()
    assert [frame.index for frame in video.frames(4)] == [4, 5, 6, 7, 8]


def test_what_is_refused_is_refused_in_the_same_words(tmp_path, clip):
    (tmp_path / "junk.mp4").write_bytes(b"no video at all")
    for path in (tmp_path / "none.mp4", tmp_path / "junk.mp4", tmp_path):
        with pytest.raises((UsageError, DataError)) as here:
            list(open_source(path))
        with pytest.raises(type(here.value)) as there:
            list(open_apart(path))
        assert str(there.value) == str(here.value)
    video = open_apart(clip)
    for span in ((9,), (0, 5, 0), (-1,)):
        with pytest.raises(UsageError) as here:
            open_source(clip).frames(*span)
        with pytest.raises(UsageError) as there:
            video.frames(*span)
        assert str(there.value) == str(here.value)
    assert len(list(video)) == 9


def test_what_breaks_off_says_so_here(tmp_path, clip, caplog):
    half = tmp_path / "half.mkv"
    whole = encode(tmp_path / "whole.mkv", scenery(60)).read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    video = open_apart(half)
    with caplog.at_level(logging.WARNING, "selfvos"):
        count = len(list(video))
    assert 0 < count < 60
    assert video.partial
    assert any("breaks off" in record.getMessage() for record in caplog.records)


def test_the_sound_of_an_overlay_is_that_of_the_video(tmp_path):
    path = film(tmp_path / "film.mp4", "aac")
    draw(path, tmp_path / "here.mp4", 12, 40)
    video = open_apart(path)
    assert video.sound == path
    looks = looks_of(video)
    assert looks.sound not in (None, path)
    with OverlayVideo(tmp_path / "there.mp4", looks) as overlay:
        for frame in video.frames(12, 40):
            overlay.write(frame, np.zeros((48, 64), np.uint8))
    assert overlay.sound == "copied"
    np.testing.assert_array_equal(heard(tmp_path / "there.mp4"), heard(tmp_path / "here.mp4"))
    file = looks.sound
    del video, frame
    gc.collect()
    assert not file.exists()
    silent = open_apart(encode(tmp_path / "silent.mp4", scenery(2)))
    assert looks_of(silent).sound is None


def test_an_answer_that_takes_too_long_does_not_come(clip, readers):
    readers(lying("while True: pass"))
    video = open_apart(clip, limits=Limits(cpu_seconds=1))
    began = time.monotonic()
    with pytest.raises(BrokenVideo, match=r"clip\.mp4 cannot be decoded within 896 MiB and 1 s"):
        next(iter(video))
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    "line",
    [
        "os._exit(9)",
        "return {'frame': {'height': 10**9, 'width': 10**9, 'index': 0, 'name': 'a', 'seconds': 0}}, None",
        "return {'frame': {'height': -1, 'width': -12, 'index': 0, 'name': 'a', 'seconds': 0}}, memoryview(bytes(36))",
        "return {'frame': {'height': 1, 'width': 1, 'index': 0, 'name': '../../x', 'seconds': 0}}, memoryview(b'123')",
        "return {'frame': {'height': 1, 'width': 1, 'index': [], 'name': 'a', 'seconds': 0}}, memoryview(b'123')",
        "return {'frame': 7}, None",
        "os.write(self._replies.fileno(), b'x' * 10**6 + b'[]')",
        "return {'error': 'SystemExit', 'message': 'a\\x1b[2J\\nb'}, None",
        "return {'error': '__doc__', 'message': None}, None",
        "raise KeyError('surprise')",
    ],
)
def test_a_reader_that_was_taken_over_can_only_refuse(clip, readers, line):
    readers(lying(line))
    with pytest.raises(DataError) as caught:
        list(open_apart(clip))
    assert str(caught.value).isprintable()


def test_a_reader_that_was_taken_over_writes_no_file_and_takes_no_memory(tmp_path, clip, readers):
    victim = tmp_path / "victim"
    readers(lying(f"open({str(victim)!r}, 'wb', buffering=0).write(b'x'); return {{'end': True}}, None"))
    with pytest.raises(DataError):
        list(open_apart(clip))
    assert victim.read_bytes() == b""  # a name can be made; not a byte goes into it


def test_memory_is_limited(clip, readers):
    readers(lying("return {'end': len(bytearray(2**30))}, None"))
    with pytest.raises(BrokenVideo, match="cannot be decoded within 896 MiB"):
        list(open_apart(clip))


def test_a_reader_or_the_process_above_it_killed_between_readings_is_replaced(clip, readers):
    video = open_apart(clip)
    os.kill(apart_process._nursery._process.pid, signal.SIGKILL)
    for path in Path("/proc").glob("[0-9]*/cmdline") if Path("/proc/self").exists() else ():
        try:
            if (
                b"selfvos.data.apart_server" in path.read_bytes()
                and _group(path) == apart_process._nursery._process.pid
            ):
                os.kill(int(path.parent.name), signal.SIGKILL)
        except OSError:
            continue
    assert len(list(video)) == 9
    assert len(list(open_apart(clip))) == 9


def _group(path: Path) -> int:
    return os.getpgid(int(path.parent.name))


def test_a_machine_without_processes_says_so(clip, readers, monkeypatch):
    monkeypatch.setattr(apart_process, "_COMMAND", ["/nowhere/python"])
    with pytest.raises(ResourceError, match="no process to decode videos in"):
        open_apart(clip)


def test_where_nothing_can_be_confined_a_warning_is_logged(clip, monkeypatch, caplog):
    monkeypatch.setattr(apart, "AVAILABLE", False)
    assert not isinstance(open_apart(clip), ApartVideo)
    assert "none can be confined" in caplog.text
