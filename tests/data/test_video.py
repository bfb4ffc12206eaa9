import errno
import gc
import logging
import os
import struct
import weakref
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import Colorspace

from selfvos.data import containers, spans
from selfvos.data.video import VideoFile
from selfvos.errors import BrokenVideo, UsageError

QUARTER_TURN_CLOCKWISE = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]  # as a phone held upright writes it
HALF_TURN = [-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30]
MIRRORED = [-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30]


def scenery(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pan over fixed noise: no two frames alike, and compressed frames not tiny."""
    noise = np.random.default_rng(0).integers(0, 255, (height, width + count, 3), dtype=np.uint8)
    return [np.ascontiguousarray(noise[:, i : i + width]) for i in range(count)]


def encode(path: Path, frames: list[np.ndarray], *, codec="libx264", **options: str) -> Path:
    """Write a video without the code under test."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for rgb in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def set_matrix(path: Path, matrix: list[int]) -> Path:
    """Replace the display matrix in the track header of an mp4 file, 40 bytes into its content."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", content, place) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, place, *matrix)
    path.write_bytes(content)
    return path


def quadrants() -> np.ndarray:
    """Draw a picture that shows how it is turned: red, green, blue and white corners."""
    rgb = np.zeros((32, 64, 3), np.uint8)
    rgb[:16, :32], rgb[:16, 32:], rgb[16:, :32], rgb[16:, 32:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    return rgb


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_a_video_says_what_it_is_and_gives_its_frames_in_order(tmp_path):
    shades = [np.full((48, 64, 3), 10 * i, np.uint8) for i in range(20)]  # libx264 reorders these by default
    file = VideoFile(encode(tmp_path / "clip.mp4", shades))
    frames = list(file)
    assert (file.name, file.size, file.fps, file.count) == ("clip", (48, 64), 25.0, 20)
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.name for frame in frames][:2] == ["00000", "00001"]
    np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(20) / 25, atol=1e-9)
    assert all(abs(float(frame.rgb.mean()) - 10 * i) < 4 for i, frame in enumerate(frames))
    assert all(frame.rgb.flags.c_contiguous and frame.rgb.flags.writeable for frame in frames)
    assert not file.partial
    assert file.skipped == 0


def test_a_video_can_be_read_again(tmp_path):
    file = VideoFile(encode(tmp_path / "clip.mp4", scenery(5)))
    once, twice = [frame.rgb for frame in file], [frame.rgb for frame in file]
    assert len(once) == 5
    np.testing.assert_array_equal(once, twice)


def test_frames_that_are_let_go_are_not_kept(tmp_path):
    file = VideoFile(encode(tmp_path / "clip.mp4", scenery(60)))
    seen = []
    for frame in file:
        seen.append(weakref.ref(frame.rgb))
        del frame
    gc.collect()
    assert len(seen) == 60
    assert sum(ref() is not None for ref in seen) == 0


def test_stopping_early_closes_the_file(tmp_path):
    path = encode(tmp_path / "clip.mp4", scenery(30))
    reading = iter(VideoFile(path))
    next(reading)
    reading.close()
    gc.collect()
    assert str(path) not in {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        (QUARTER_TURN_CLOCKWISE, lambda rgb: np.rot90(rgb, -1)),
        (HALF_TURN, lambda rgb: np.rot90(rgb, 2)),
        (MIRRORED, lambda rgb: rgb[:, ::-1]),
    ],
    ids=["quarter", "half", "mirrored"],
)
def test_turned_videos_come_upright(tmp_path, matrix, upright):
    stored = quadrants()
    file = VideoFile(set_matrix(encode(tmp_path / "phone.mp4", [stored] * 3), matrix))
    frame = next(iter(file))
    expected = upright(stored)
    assert file.size == expected.shape[:2] == frame.rgb.shape[:2]
    assert difference(frame.rgb, expected) < 8
    assert frame.rgb.flags.c_contiguous


def test_one_frame_is_a_video(tmp_path):
    file = VideoFile(encode(tmp_path / "one.mp4", scenery(1)))
    assert len(list(file)) == 1
    assert not file.partial
    assert 0.001 <= file.fps <= 1000


def test_ten_bit_video_is_read_as_eight(tmp_path):
    with av.open(str(tmp_path / "deep.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p10le"
        picture = av.VideoFrame.from_ndarray(quadrants(), format="rgb24").reformat(format="yuv420p10le")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    corners = next(iter(VideoFile(tmp_path / "deep.mkv"))).rgb[4::24, 8::48]
    assert difference(corners, quadrants()[4::24, 8::48]) < 3


def test_an_impossible_rate_is_not_believed(tmp_path):
    with av.open(str(tmp_path / "fast.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=60000)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(scenery(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    assert VideoFile(tmp_path / "fast.mp4").fps == 25.0


def test_titles_that_are_no_utf8_do_not_matter(tmp_path):
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        container.metadata["title"] = "QQQQ"
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(scenery(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    content = (tmp_path / "clip.mkv").read_bytes()
    assert content.count(b"QQQQ") == 1
    (tmp_path / "clip.mkv").write_bytes(content.replace(b"QQQQ", b"\xff\xfe\xff\xfe"))
    assert len(list(VideoFile(tmp_path / "clip.mkv"))) == 1


def growing(folder: Path) -> Path:
    """Write three frames of 48x64 and three of 96x128 into one stream."""
    with av.open(str(folder / "two.ts"), "w", format="mpegts") as container:
        for height, width, start in ((48, 64, 0), (96, 128, 3)):
            part = encode(folder / f"{height}.ts", scenery(3, height, width), codec="mpeg2video")
            with av.open(str(part)) as source:
                if not container.streams:
                    stream = container.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream = stream
                        shift = start * 3600
                        packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
                        container.mux(packet)
    return folder / "two.ts"


def test_a_change_of_size_on_the_way_is_scaled_back(tmp_path):
    shapes = [frame.rgb.shape for frame in VideoFile(growing(tmp_path))]
    assert len(shapes) >= 5
    assert set(shapes) == {(48, 64, 3)}


def test_frames_that_grow_beyond_the_limit_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MOST_PIXELS", 48 * 64)
    file = VideoFile(growing(tmp_path))
    assert len(list(file)) <= 3
    assert file.skipped >= 2


def test_half_a_file_gives_its_frames_and_says_so(tmp_path, caplog):
    whole = encode(tmp_path / "whole.mp4", scenery(60), movflags="faststart").read_bytes()
    half = tmp_path / "half.mp4"
    half.write_bytes(whole[: len(whole) * 6 // 10])
    file = VideoFile(half)
    with caplog.at_level(logging.WARNING):
        frames = list(file)
    assert 5 < len(frames) < 60
    assert file.partial
    assert file.count == 60
    assert "half.mp4" in caplog.text
    assert f"{len(frames)} of 60" in caplog.text


def test_a_file_cut_between_two_frames_is_partial(tmp_path):
    path = encode(tmp_path / "clip.mp4", scenery(60), movflags="faststart")
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][55]
    path.write_bytes(path.read_bytes()[: packet.pos])
    file = VideoFile(path)
    assert 50 <= len(list(file)) <= 55
    assert file.partial


def test_half_a_matroska_file_gives_its_frames_and_says_so(tmp_path):
    whole = encode(tmp_path / "whole.mkv", scenery(120)).read_bytes()
    (tmp_path / "half.mkv").write_bytes(whole[: len(whole) // 2])
    file = VideoFile(tmp_path / "half.mkv")
    assert 5 < len(list(file)) < 120
    assert file.partial


def test_one_damaged_packet_costs_one_frame(tmp_path, caplog):
    path = encode(tmp_path / "clip.mp4", scenery(30))
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][20]
    content = bytearray(path.read_bytes())
    content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(content)
    file = VideoFile(path)
    assert len(list(file)) == 29
    assert file.skipped == 1
    assert not file.partial
    assert "1 damaged" in caplog.text


def test_four_hundred_flipped_bits_leave_nine_tenths_of_the_frames(tmp_path):
    path = encode(tmp_path / "clip.mp4", scenery(120, 144, 192), movflags="faststart")
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content) // 25, len(content), 400):
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    assert len(list(VideoFile(path))) >= 108


def write_audio(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))


def write_audio_with_cover(path: Path) -> None:
    with av.open(str(path), "w") as container:
        sound, cover = container.add_stream("aac", rate=44100), container.add_stream("mjpeg", rate=25)
        cover.height, cover.width, cover.pix_fmt, cover.disposition = 48, 64, "yuvj420p", Disposition.attached_pic.value
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        picture = av.VideoFrame.from_ndarray(scenery(1)[0], format="rgb24").reformat(format="yuvj420p")
        container.mux([*cover.encode(picture), *cover.encode(None), *sound.encode(silence), *sound.encode(None)])


def without_index(path: Path) -> None:
    whole = encode(path.with_name("whole.mp4"), scenery(60)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.mkdir(), "folder"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "not a video"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (write_audio, "only audio"),
        (write_audio_with_cover, "only audio and cover art"),
        (without_index, "moov"),
        (lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n"), "x.mp4"),
    ],
    ids=["folder", "empty", "junk", "pipe", "audio", "cover", "moov", "playlist"],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, make, says):
    path = tmp_path / "x.mp4"
    make(path)
    with pytest.raises(BrokenVideo, match=says) as caught:
        VideoFile(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["nothing.mp4", "a\0b.mp4", "x" * 300 + ".mp4", "concat:a.mp4|b.mp4", "http://x/y.mp4"]
)
def test_a_path_that_does_not_exist_is_a_wrong_call(tmp_path, name):
    with pytest.raises(UsageError, match="no such file"):
        VideoFile(tmp_path / name)


def test_a_script_called_mp4_opens_no_other_file(tmp_path):
    encode(tmp_path / "secret.mp4", scenery(3))
    disguised = tmp_path / "x.mp4"
    disguised.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with av.open(str(disguised)) as unguarded:  # the danger is real
        assert sum(1 for _ in unguarded.decode(video=0)) == 3
    with pytest.raises(BrokenVideo, match="playlist"):
        VideoFile(disguised)


def test_a_name_like_a_protocol_is_still_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("http:clips").mkdir()
    encode(tmp_path / "clip.mp4", scenery(2)).rename("http:clips/clip%03d.mp4")
    assert len(list(VideoFile("http:clips/clip%03d.mp4"))) == 2


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4", scenery(2))

    def forbidden(*_, **__):
        raise av.error.PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(av, "open", forbidden)
    with pytest.raises(BrokenVideo, match="permission denied"):
        VideoFile(path)


def test_a_container_that_cannot_be_read_on_ends_the_video(tmp_path, monkeypatch):
    file = VideoFile(encode(tmp_path / "clip.mp4", scenery(10)))
    really_open = av.open

    class Breaking:
        """A container whose medium fails after five packets, for good."""

        __class__ = InputContainer

        def __init__(self, container):
            self._container = container
            self._left = 5

        def __getattr__(self, name):
            return getattr(self._container, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._container.close()

        def demux(self, stream):
            packets = self._container.demux(stream)
            while self._left:
                self._left -= 1
                yield next(packets)
            raise av.error.InvalidDataError(errno.EIO, "Input/output error")

    monkeypatch.setattr(av, "open", lambda *args, **kw: Breaking(really_open(*args, **kw)))
    assert len(list(file)) == 5
    assert file.partial


def test_giant_frames_are_refused_before_decoding(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4", scenery(2))
    monkeypatch.setattr(containers, "MOST_PIXELS", 48 * 64 - 1)
    with pytest.raises(BrokenVideo, match="3072 pixels a frame"):
        VideoFile(path)


def test_a_bomb_is_refused_before_decoding_and_a_long_giant_video_is_not(tmp_path, monkeypatch):
    black = encode(tmp_path / "bomb.mp4", [np.zeros((480, 640, 3), np.uint8)] * 250)
    busy = encode(tmp_path / "busy.mp4", scenery(30, 480, 640))
    monkeypatch.setattr(containers, "_GIANT", 480 * 640 - 1)
    assert len(list(VideoFile(busy))) == 30
    assert len(list(VideoFile(black))) == 250, "too short to exhaust anything"
    monkeypatch.setattr(containers, "_MOST_IN_ALL", 480 * 640 * 25)
    assert containers._MOST_PER_BYTE * busy.stat().st_size > 480 * 640 * 30
    assert VideoFile(busy).count == 30
    monkeypatch.setattr(containers, "_MOST_PER_BYTE", 2**11)
    with pytest.raises(BrokenVideo, match="76800000 pixels in [0-9]+ bytes, as a decompression bomb"):
        VideoFile(black)


def test_a_head_of_random_damage_never_breaks_out(tmp_path):
    whole = encode(tmp_path / "clip.mp4", scenery(4), movflags="faststart").read_bytes()
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, 1200, 6):
            content[place] = int(rng.integers(256))
        (tmp_path / "bad.mp4").write_bytes(content)
        try:
            frames = list(VideoFile(tmp_path / "bad.mp4"))
            outcomes.add(len({frame.rgb.shape for frame in frames}) <= 1)
        except BrokenVideo:
            outcomes.add("refused")
    assert outcomes == {True, "refused"}


def stored(path: Path, codec: str, *, pix_fmt: str = "yuv420p", times: Sequence[int] = (), **options: str) -> Path:
    """Write 50 frames in any codec and container; `times` in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pix_fmt
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, rgb in enumerate(scenery(50)):
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
            if times:
                picture.pts, picture.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


UNEVEN = np.cumsum(np.random.default_rng(0).choice([5, 40, 90, 300], 50)).tolist()
OPEN_GOP = {"x264-params": "keyint=10:open-gop=1:bframes=3"}
STORED = {
    "one group.mp4": ("libx264", {}),
    "groups.mp4": ("libx264", {"g": "12", "bf": "3"}),
    "open.mkv": ("libx264", OPEN_GOP),
    "open.ts": ("libx264", OPEN_GOP),
    "refresh.mp4": ("libx264", {"x264-params": "keyint=10:intra-refresh=1:bframes=0"}),
    "uneven.mp4": ("libx264", {"g": "12", "times": UNEVEN}),
    "uneven.mkv": ("libx264", {"g": "12", "times": UNEVEN}),
    "mpeg2.mpg": ("mpeg2video", {"g": "10", "bf": "2"}),
    "mpeg2.ts": ("mpeg2video", {"g": "10", "bf": "2"}),
    "mpeg4.avi": ("mpeg4", {"g": "10"}),
    "nut.nut": ("libx264", {"g": "12"}),
    "intra.mkv": ("ffv1", {}),
    "reordered.avi": ("libx264", {"g": "12"}),
    "bare.h264": ("libx264", {"g": "12"}),
    "moving.gif": ("gif", {"pix_fmt": "rgb8"}),
}
NOT_SOUGHT = {"reordered.avi", "bare.h264", "moving.gif"}


@pytest.mark.parametrize("name", STORED)
def test_any_frame_is_that_of_reading_all(tmp_path, monkeypatch, caplog, name):
    codec, options = STORED[name]
    file = VideoFile(stored(tmp_path / name, codec, **options))
    whole = list(file)
    assert [frame.index for frame in whole] == list(range(50))
    assert file.seekable == (name not in NOT_SOUGHT)
    assert file.exact_count() == 50
    monkeypatch.setattr(spans, "_HELD_BYTES", 48 * 64 * 3 * 9)
    for start, stop, step in ((None, None, -1), (1, 4, 1), (11, 14, 1), (49, None, 1), (5, 45, 7), (33, 2, -5)):
        expected, got = whole[start:stop:step], list(file.frames(start, stop, step))
        assert [frame.index for frame in got] == [frame.index for frame in expected]
        assert [frame.seconds for frame in got] == [frame.seconds for frame in expected]
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a.rgb, b.rgb)
    assert not file.partial
    assert ("cannot be sought" in caplog.text) == (name in NOT_SOUGHT)


def test_a_turned_video_is_read_backwards_upright(tmp_path):
    file = VideoFile(set_matrix(encode(tmp_path / "phone.mp4", scenery(30)), QUARTER_TURN_CLOCKWISE))
    whole = [frame.rgb for frame in file]
    np.testing.assert_array_equal([frame.rgb for frame in file.frames(step=-1)], whole[::-1])
    assert whole[0].shape == (64, 48, 3)


def test_few_frames_are_held_while_reading_backwards(tmp_path, monkeypatch):
    monkeypatch.setattr(spans, "_HELD_BYTES", 48 * 64 * 3 * 10)
    file = VideoFile(encode(tmp_path / "clip.mp4", scenery(120)))
    living: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
    most = 0
    for frame in file.frames(step=-1):
        living[frame.index] = frame.rgb
        del frame
        gc.collect()
        most = max(most, len(living))
    assert most <= 10


def test_a_start_beyond_the_end_is_told(tmp_path):
    file = VideoFile(encode(tmp_path / "clip.mp4", scenery(5)))
    with pytest.raises(UsageError, match=r"clip\.mp4 has no frame 5: it has 5, numbered from 0"):
        file.frames(5)
    bare = VideoFile(stored(tmp_path / "bare.h264", "libx264"))
    with pytest.raises(UsageError, match="no frame 70"):
        list(bare.frames(70))


def test_a_damaged_frame_keeps_its_number(tmp_path):
    path = stored(tmp_path / "clip.mkv", "ffv1", g="1")
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][20]
    content = bytearray(path.read_bytes())
    assert content.count(bytes(packet)) == 1
    place = content.index(bytes(packet))
    content[place : place + packet.size] = b"\xff" * packet.size
    path.write_bytes(content)
    file = VideoFile(path)
    expected = [i for i in range(50) if i != 20]
    assert [frame.index for frame in file] == expected
    assert file.skipped == 1
    assert [frame.index for frame in file.frames(step=-1)] == expected[::-1]
    whole = {frame.index: frame.rgb for frame in file}
    for frame in file.frames(19, 23):
        np.testing.assert_array_equal(frame.rgb, whole[frame.index])


def test_half_a_file_is_read_backwards_as_far_as_it_goes(tmp_path):
    whole = encode(tmp_path / "whole.mp4", scenery(60), movflags="faststart").read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    file = VideoFile(tmp_path / "half.mp4")
    forwards = {frame.index: frame.rgb for frame in file}
    backwards = list(file.frames(step=-1))
    assert file.partial
    assert [frame.index for frame in backwards] == sorted(forwards, reverse=True)
    assert all(np.array_equal(frame.rgb, forwards[frame.index]) for frame in backwards)


def retimed(path: Path, shift: Callable[[int], int]) -> Path:
    """Write a stream of 30 frames whose times are shifted by so many ticks of 1/90000 s from each number on."""
    part = encode(path.with_name("part.ts"), scenery(30), codec="mpeg2video")
    with av.open(str(part)) as source, av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            packet.stream = stream
            packet.pts, packet.dts = (packet.pts or 0) + shift(number), (packet.dts or 0) + shift(number)
            container.mux(packet)
    return path


def test_a_clock_that_jumps_by_hours_is_not_believed(tmp_path):
    file = VideoFile(retimed(tmp_path / "jump.ts", lambda number: 5 * 3600 * 90_000 * (number >= 12)))
    times = [frame.seconds for frame in file]
    assert len(times) >= 28
    np.testing.assert_allclose(np.diff(times), 1 / 25, atol=1e-6)
    assert [frame.seconds for frame in file.frames(step=-1)] == times[::-1]


def test_a_preview_picture_before_the_video_is_not_the_video(tmp_path):
    with av.open(str(tmp_path / "camera.mp4"), "w") as container:
        preview, stream = container.add_stream("mjpeg", rate=25), container.add_stream("libx264", rate=25)
        preview.height, preview.width, preview.pix_fmt = 16, 16, "yuvj420p"
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        small = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux([*preview.encode(small.reformat(format="yuvj420p")), *preview.encode(None)])
        for rgb in scenery(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    file = VideoFile(tmp_path / "camera.mp4")
    assert file.size == (48, 64)
    assert len(list(file)) == file.exact_count() == 6


def test_the_shape_of_pixels_and_sound_are_told(tmp_path):
    with av.open(str(tmp_path / "tv.mp4"), "w") as container:
        stream, sound = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=44100)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        for rgb in scenery(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux([*stream.encode(None), *sound.encode(silence), *sound.encode(None)])
    file = VideoFile(tmp_path / "tv.mp4")
    assert file.pixel_aspect == Fraction(64, 45)
    assert file.sound == tmp_path / "tv.mp4"
    assert VideoFile(set_matrix(tmp_path / "tv.mp4", QUARTER_TURN_CLOCKWISE)).pixel_aspect == Fraction(45, 64)
    plain = VideoFile(encode(tmp_path / "plain.mp4", scenery(2)))
    assert (plain.pixel_aspect, plain.sound) == (1, None)


@pytest.mark.parametrize("curve", [16, 18], ids=["pq", "hlg"])
def test_high_dynamic_range_is_shown_as_ordinary_rgb(tmp_path, curve):
    # What is stored: grey steps from black to full range, of which most lies beyond paper-white.
    steps = np.kron(np.linspace(0, 65535, 8), np.ones(8))
    grey = np.repeat(np.tile(steps, (32, 1))[..., None], 3, axis=2).astype(np.uint16)
    with av.open(str(tmp_path / "hdr.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = curve, 9, 9, 1
        picture = av.VideoFrame.from_ndarray(grey, format="rgb48le")
        picture = picture.reformat(format="yuv420p10le", dst_colorspace=Colorspace.BT2020)
        picture.color_trc, picture.color_primaries = curve, 9
        container.mux([*stream.encode(picture), *stream.encode(None)])
    shown = next(iter(VideoFile(tmp_path / "hdr.mkv"))).rgb[16, 4::8].astype(int)
    assert np.abs(shown - shown[:, :1]).max() <= 6, "grey stays grey"
    levels = shown[:, 1]
    assert levels[0] <= 2
    assert (np.diff(levels) > 0).all()
    assert levels[-1] <= 255
    # Half the range is 92 nits in PQ, and a fourth of the light in HLG: a middle grey either way.
    assert 120 < np.interp(3.5, np.arange(8), levels) < 215


def test_transparency_is_dropped(tmp_path):
    rgba = np.dstack([quadrants(), np.full((32, 64), 255, np.uint8)])
    with av.open(str(tmp_path / "alpha.mov"), "w") as container:
        stream = container.add_stream("qtrle", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "argb"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="argb")))
        container.mux(stream.encode(None))
    np.testing.assert_array_equal(next(iter(VideoFile(tmp_path / "alpha.mov"))).rgb, quadrants())


def test_no_false_alarm_on_real_videos(shared_data):
    for path in sorted((shared_data / "unlabelled").glob("*.mp4"))[::140]:
        file = VideoFile(path)
        assert sum(1 for _ in file) == file.count
        assert not file.partial
        assert file.skipped == 0
