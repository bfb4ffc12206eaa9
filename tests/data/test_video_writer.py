import errno
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfvos.data.video import VideoFile
from selfvos.data.video_writer import VideoWriter
from selfvos.errors import DataError, OutOfSpace, UsageError


def scenery(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pan over fixed noise: no two frames alike, and compressed frames not tiny."""
    noise = np.random.default_rng(0).integers(0, 255, (height, width + count, 3), dtype=np.uint8)
    return [np.ascontiguousarray(noise[:, i : i + width]) for i in range(count)]


def quadrants() -> np.ndarray:
    """Draw a picture that shows how it is turned: red, green, blue and white corners."""
    rgb = np.zeros((32, 64, 3), np.uint8)
    rgb[:16, :32], rgb[:16, 32:], rgb[16:, :32], rgb[16:, 32:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    return rgb


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def write(path: Path, frames: Iterable[np.ndarray], **settings: float) -> VideoFile:
    with VideoWriter(path, **settings) as writer:
        for rgb in frames:
            writer.write(rgb)
    return VideoFile(path)


@pytest.mark.parametrize("fps", [0.5, 10.0, 12.5, 24000 / 1001, 25.0, 30000 / 1001, 60.0, 240.0])
def test_a_written_video_has_the_rate_and_every_frame(tmp_path, fps):
    file = write(tmp_path / "out.mp4", scenery(7), fps=fps)
    frames = list(file)
    assert len(frames) == file.count == 7
    assert file.fps == pytest.approx(fps, rel=1e-9)
    np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(7) / fps, rtol=1e-9)


@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_odd_sizes_grow_to_even(tmp_path_factory, height, width):
    folder = tmp_path_factory.mktemp("odd")
    rgb = np.full((height, width, 3), 90, np.uint8)
    file = write(folder / "out.mp4", [rgb] * 2)
    assert file.size == (height + height % 2, width + width % 2)
    assert all(difference(frame.rgb, np.full((*file.size, 3), 90)) < 4 for frame in file)


def test_colours_survive(tmp_path):
    file = write(tmp_path / "out.mp4", [quadrants()] * 2, crf=10)
    corners = next(iter(file)).rgb[4::24, 8::48].astype(int)
    expected = quadrants()[4::24, 8::48]
    assert np.abs(corners - expected).max() <= 6


def test_uneven_times_survive(tmp_path):
    times = [0.0, 0.04, 0.5, 0.51, 2.0]
    with VideoWriter(tmp_path / "out.mp4") as writer:
        for rgb, seconds in zip(scenery(5), times, strict=True):
            writer.write(rgb, seconds)
    file = VideoFile(tmp_path / "out.mp4")
    np.testing.assert_allclose([frame.seconds for frame in file], times, atol=1e-4)
    assert file.fps == pytest.approx(5 / 2.04, rel=0.01), "the last frame lasts as long as the first"
    assert not file.partial


def test_times_that_do_not_rise_still_give_every_frame(tmp_path):
    with VideoWriter(tmp_path / "out.mp4") as writer:
        for rgb in scenery(4):
            writer.write(rgb, 0.0)
    assert len(list(VideoFile(tmp_path / "out.mp4"))) == 4


def test_a_smaller_factor_gives_a_better_and_larger_file(tmp_path):
    frames = scenery(5)
    fine, coarse = write(tmp_path / "fine.mp4", frames, crf=5), write(tmp_path / "coarse.mp4", frames, crf=45)
    assert fine.path.stat().st_size > 3 * coarse.path.stat().st_size
    assert difference(next(iter(fine)).rgb, frames[0]) < difference(next(iter(coarse)).rgb, frames[0])


def test_without_x264_the_video_is_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    file = write(tmp_path / "out.mp4", scenery(5), fps=30000 / 1001)
    with av.open(str(file.path)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert len(list(file)) == 5
    assert file.fps == pytest.approx(30000 / 1001)


def test_an_exception_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    old = tmp_path / "out.mp4"
    old.write_bytes(b"old")

    def one_frame():
        yield scenery(1)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(old, one_frame())
    assert old.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_the_name_is_taken_only_at_the_end(tmp_path):
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(scenery(1)[0])
        assert not (tmp_path / "out.mp4").exists()
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_no_frame_no_file(tmp_path):
    with VideoWriter(tmp_path / "out.mp4") as writer:
        pass
    assert writer.frames == 0
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    old = tmp_path / "out.mp4"
    old.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("selfvos.storage.os.fsync", full)
    with pytest.raises(OutOfSpace, match="disk full"), VideoWriter(old) as writer:
        writer.write(scenery(1)[0])
    assert old.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_fills_while_encoding_is_told_as_such(tmp_path, monkeypatch):
    really_open = av.open
    monkeypatch.setattr(av, "open", lambda _, *args, **kw: really_open("/dev/full", *args, **kw))
    with pytest.raises(OutOfSpace, match=r"out\.mp4"):
        write(tmp_path / "out.mp4", scenery(40, 144, 192))
    assert os.listdir(tmp_path) == []


def test_frames_of_another_size_are_refused(tmp_path):
    with pytest.raises(DataError, match="32x32, the video is 48x64"):
        write(tmp_path / "out.mp4", [scenery(1)[0], np.zeros((32, 32, 3), np.uint8)])


@pytest.mark.parametrize(
    "wrong", [{"fps": 0.0}, {"fps": -1.0}, {"fps": float("nan")}, {"fps": 1e9}, {"crf": 0}, {"crf": 52}]
)
def test_settings_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        VideoWriter(tmp_path / "out.mp4", **wrong)


def test_a_name_like_a_protocol_is_still_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(list(write(Path("http:clips/clip%03d.mp4"), scenery(2)))) == 2


def test_the_shape_of_pixels_survives(tmp_path):
    file = write(tmp_path / "out.mp4", scenery(2), pixel_aspect=Fraction(64, 45))
    with av.open(str(file.path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)
