import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest
from tests import tiny
from tests.sending import FPS, free_port, sending

from selfvos.data.live import LiveConfig, LiveSource, _Pace
from selfvos.data.streams import address_of, is_live
from selfvos.errors import BrokenVideo, Stopped, UsageError
from selfvos.types import Watching

QUICK = LiveConfig(patience_s=0.8, silence_s=2.0)


def grey(t):
    return np.full((32, 48, 3), 40 + 4 * (t % 50), np.uint8)


@pytest.fixture
def address():
    return f"udp://127.0.0.1:{free_port()}"


def sent(address, picture=grey, count=None):
    return sending(int(address.rpartition(":")[2]), picture, count)


def test_frames_come_in_order_with_their_times(address):
    with sent(address), LiveSource(address, LiveConfig(patience_s=10.0)) as source:
        assert (source.size, source.count, source.fps) == ((32, 48), None, FPS)
        frames = list(source.frames(stop=10))
    assert [frame.index for frame in frames] == list(range(10))
    seconds = [frame.seconds for frame in frames]
    assert seconds[0] == 0
    assert np.diff(seconds).min() > 0
    values = np.array([frame.rgb.mean() for frame in frames])
    steps = np.diff(values)[np.diff(values) > 0]  # it falls where the greys begin anew
    assert len(steps) >= 8
    # A grey step is one frame sent: time and picture go together, whatever was dropped in between.
    assert seconds[-1] == pytest.approx(9 / FPS + source.dropped / FPS, abs=3 / FPS)


def test_a_slow_reader_gets_the_newest_frame_and_the_number_of_those_dropped(address):
    with sent(address), LiveSource(address, LiveConfig(patience_s=10.0)) as source:
        frames = []
        for frame in source.frames(stop=4):
            frames.append(frame)
            time.sleep(0.4)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    gaps = np.diff([frame.seconds for frame in frames])
    assert gaps.min() > 0.2
    assert source.dropped >= 3 * 0.2 * FPS


def test_a_stream_that_drops_is_connected_to_again(address, caplog):
    with sent(address):
        source = LiveSource(address, LiveConfig(patience_s=0.8, silence_s=30.0))
        frames = source.frames()
        first = next(frames)
    with source:
        deadline = time.monotonic() + 20
        while not source.reconnected and time.monotonic() < deadline:
            time.sleep(0.1)
        with sent(address):
            after = next(frame for frame in frames if source.reconnected and frame.seconds > first.seconds + 0.8)
    assert after.rgb.shape == (32, 48, 3)
    assert "connecting again" in caplog.text
    assert not source.partial


def test_silence_ends_it_without_an_error(address, caplog):
    with sent(address, count=30), LiveSource(address, LiveConfig(patience_s=0.5, silence_s=1.5)) as source:
        begin = time.monotonic()
        frames = list(source)
        assert 0 < len(frames) <= 30
        assert source.partial
        assert time.monotonic() - begin < 15
    assert "no frame for 1.5 s" in caplog.text


def test_a_watch_ends_it_between_two_frames(address):
    asked = threading.Event()
    with sent(address), LiveSource(address, LiveConfig(patience_s=10.0), watch=Watching(asked=asked.is_set)) as source:
        frames = source.frames()
        next(frames)
        asked.set()
        assert list(frames) == []
        assert not source.partial
    with pytest.raises(Stopped):
        LiveSource(address, QUICK, watch=Watching(asked=lambda: True))


def test_frames_that_have_passed_cannot_be_had(address):
    with sent(address), LiveSource(address, LiveConfig(patience_s=10.0)) as source:
        for arguments in ((3, None, 1), (None, None, -1)):
            with pytest.raises(UsageError, match="live"):
                source.frames(*arguments)
        assert source.exact_count() is None


def test_where_nothing_comes_the_message_says_so_without_the_password(address):
    begin = time.monotonic()
    with pytest.raises(BrokenVideo, match=r"nothing came for 0.8 s") as error:
        LiveSource(address.replace("//", "//me:secret@"), QUICK)
    assert time.monotonic() - begin < 10
    assert "secret" not in str(error.value)
    with pytest.raises(BrokenVideo) as error:
        LiveSource("rtsp://me:secret@127.0.0.1:9/live", QUICK)
    assert "secret" not in str(error.value)
    assert "rtsp://127.0.0.1:9/live" in str(error.value)


def test_a_camera_that_is_not_there_is_named():
    with pytest.raises(BrokenVideo, match="camera 97"):
        LiveSource("97", QUICK)


@pytest.fixture
def server(tmp_path):
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_recording_on_a_server_is_no_live_stream(server, tmp_path):
    tiny.write_video(tmp_path / "film.mp4", [grey(t) for t in range(30)], fps=10.0)
    with pytest.raises(BrokenVideo, match="recording of 3 s"):
        LiveSource(f"{server}/film.mp4", QUICK)


def playlist(folder, part):
    (folder / "live.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{part}\n")


def test_a_playlist_is_read_in_its_own_time_but_cannot_name_files_of_this_machine(server, tmp_path):
    with av.open(str(tmp_path / "part.ts"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for t in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(t), format="rgb24")))
        container.mux(stream.encode(None))
    playlist(tmp_path, "part.ts")
    begin = time.monotonic()
    with LiveSource(f"{server}/live.m3u8", LiveConfig(patience_s=2.0, silence_s=3.0)) as source:
        last = list(source.frames(stop=10))[-1]
    assert last.seconds == pytest.approx(0.9, abs=0.2)
    assert time.monotonic() - begin > 0.8, "all of a part is there at once, and taken in its own time all the same"
    playlist(tmp_path, f"file://{tmp_path}/part.ts")
    with pytest.raises(BrokenVideo):
        LiveSource(f"{server}/live.m3u8", LiveConfig(patience_s=2.0, silence_s=3.0))


def test_what_is_live_and_what_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_live("0")
    assert is_live("rtsp://host/path")
    assert not is_live("dance.mp4")
    assert not is_live("C:\\dance.mp4")
    assert not is_live(tmp_path)
    (tmp_path / "0").mkdir()
    assert not is_live("0")


def test_addresses_are_shown_without_user_and_password():
    found = address_of("rtsp://me:secret@cam.local:554/live/1?token=secret")
    assert (found.shown, found.name, found.scheme) == ("rtsp://cam.local:554/live/1", "cam-local-live-1", "rtsp")
    for wrong in ("file:///etc/passwd", "concat://a|b", "rtsp://host:port/x"):
        with pytest.raises(UsageError):
            address_of(wrong)


@pytest.mark.parametrize("field", ["patience_s", "silence_s"])
def test_waiting_for_no_time_is_refused(field):
    with pytest.raises(UsageError, match=field):
        LiveConfig(**{field: 0.0})


def test_the_pace_follows_the_streams_clock_and_its_jumps(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = _Pace()
    assert pace.due(5000.0) == 0
    assert pace.due(5000.5) == pytest.approx(0.5)  # early, as in a part of HLS: to be waited for
    now[0] += 2
    assert pace.due(5001.0) == pytest.approx(1.0)  # late
    assert pace.due(7.0) == pytest.approx(2.0)  # the clock was set anew: now
    assert pace.due(6.9) > 2.0  # never back
    assert pace.due(None) > 2.0
