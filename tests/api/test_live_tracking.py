import numpy as np
import pytest
from tests import tiny
from tests.sending import free_port, sending

from selfvos import api
from selfvos.data.source import open_source, read_image
from selfvos.data.track_reader import open_track
from selfvos.data.video import VideoFile
from selfvos.errors import MaskMismatch, UsageError
from selfvos.settings import override
from selfvos.types import Watching


@pytest.fixture(scope="module")
def model():
    return api.load("lab-patches")


@pytest.fixture(scope="module")
def config(model):
    return override(api.track_config(model, None), ["frame.short_side_px=64"])


@pytest.fixture
def address():
    port = free_port()
    with sending(port, lambda t: tiny.picture(t % 8 if t % 16 < 8 else 8 - t % 8)):
        yield f"udp://127.0.0.1:{port}"


def square(frame):
    """The mask of the frame that just came: the square is the only red."""
    red = frame[..., 0].astype(int) - frame[..., 1] > 120
    return red.astype(np.uint8) * 4


def test_segments_are_whole_tracks_that_go_on_with_the_same_objects(model, config, address, tmp_path):
    source = api.live_source(address)
    shot = api.LiveShot(
        source=source, mask=square(source.newest()), drawn_on=source.newest(), segment_minutes=0.5 / 60, frames=30
    )
    told = []
    watch = Watching(lambda stage, done, total: told.append((stage, done, total)))
    results = list(api.track_live(model, shot, tmp_path / "out", config=config, watch=watch))
    assert [tracked.frame.index for tracked in results] == list(range(30))
    assert told[-1] == ("tracking", 30, 30)
    tracks = [open_track(place) for place in sorted((tmp_path / "out").iterdir())]
    assert len(tracks) >= 2
    assert all(track.done for track in tracks)
    assert sum(len(track.frames) for track in tracks) == 30
    for number, track in enumerate(tracks):
        about = track.about["range"]
        assert (about["segment"], about["source"]) == (number, address)
        assert (track.frames[0].index, track.frames[0].seconds) == (0, 0)
        assert [thing.id for thing in track.objects] == [4]
        assert len(list(VideoFile(track.path / "overlay.mp4"))) == len(track.frames)
        begin = results[about["frame"]]
        assert np.array_equal(track.mask(0), begin.mask)
        assert about["seconds"] == pytest.approx(begin.frame.seconds, abs=1e-3)
        assert set(track.given) == set()
    for tracked in results:
        found, true = tracked.mask == 4, square(tracked.frame.rgb) == 4
        assert (found & true).sum() / (found | true).sum() > 0.6


@pytest.mark.parametrize("end", ["asked", "left"])
def test_the_last_segment_is_closed_however_tracking_ends(model, config, address, tmp_path, end):
    count = 0
    source = api.live_source(address, watch=Watching(asked=lambda: end == "asked" and count >= 5))
    shot = api.LiveShot(source=source, mask=square(source.newest()))
    results = api.track_live(model, shot, tmp_path / "out", config=config)
    for count, _ in enumerate(results, start=1):
        if end == "left" and count == 5:
            results.close()
            break
    track = open_track(tmp_path / "out" / "segment-00000")
    assert (track.done, len(track.frames)) == (True, 5)
    assert set(track.given) == {0}


def test_an_error_leaves_the_segment_unfinished_but_whole(model, config, address, tmp_path):
    source = api.live_source(address)
    shot = api.LiveShot(source=source, mask=square(source.newest()))
    with pytest.raises(RuntimeError):
        list(api.track_live(model, shot, tmp_path / "out", config=config, watch=Watching(broken)))
    track = open_track(tmp_path / "out" / "segment-00000")
    assert (track.done, len(track.frames)) == (False, 3)


def broken(stage, done, total):
    if done == 3:
        raise RuntimeError("an accident")


def test_what_does_not_fit_is_refused_before_anything_is_written(model, config, address, tmp_path):
    with api.live_source(address) as source:
        for error, words, change in (
            (MaskMismatch, "30x64", {"mask": tiny.truth(0)[:30]}),
            (MaskMismatch, "picture drawn on is 30x64", {"drawn_on": tiny.picture(0)[:30]}),
            (MaskMismatch, "background", {"mask": np.zeros((64, 64), np.uint8)}),
        ):
            shot = api.LiveShot(source=source, **{"mask": tiny.truth(0), **change})
            with pytest.raises(error, match=words):
                api.track_live(model, shot, tmp_path / "out", config=config)
        with pytest.raises(UsageError, match="longer than 0"):
            api.LiveShot(source=source, mask=tiny.truth(0), segment_minutes=0.0)
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "x").touch()
        with pytest.raises(UsageError, match="never written over"):
            api.track_live(model, api.LiveShot(source=source, mask=tiny.truth(0)), tmp_path / "full", config=config)
    assert not (tmp_path / "out").exists()


def test_a_frame_to_draw_on_comes_from_streams_and_files(address, tmp_path):
    api.save_frame(address, tmp_path / "now.png")
    assert square(read_image(tmp_path / "now.png")).any()
    video = tiny.write_video(tmp_path / "v.mp4", map(tiny.picture, range(4)))
    api.save_frame(video, tmp_path / "third.png", frame=2)
    found = read_image(tmp_path / "third.png").astype(int)
    assert np.abs(found - tiny.picture(2)).mean() < 8
    with pytest.raises(UsageError, match="no frame 9"):
        api.save_frame(video, tmp_path / "ninth.png", frame=9)
    assert not (tmp_path / "ninth.png").exists()


def test_files_stay_on_the_white_list():
    for what in ("udp://127.0.0.1:9", "rtsp://127.0.0.1/x"):
        with pytest.raises(UsageError, match="no such file"):
            open_source(what)
