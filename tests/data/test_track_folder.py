import errno
import json
import os

import numpy as np
import pytest

from selfvos.data.mask_png import palette, read_mask, write_mask
from selfvos.data.source import FrameArrays, open_source
from selfvos.data.track_folder import TrackFolder, TrackOrigin
from selfvos.data.track_reader import open_track
from selfvos.data.video import VideoFile
from selfvos.data.video_writer import VideoWriter
from selfvos.errors import DataError, OutOfSpace, Stopped, UsageError
from selfvos.storage import sha256
from selfvos.types import Box, Frame, ObjectState, Tracked, TrackReader

COUNT = 5


def picture(index: int) -> np.ndarray:
    return np.full((32, 48, 3), 40 + 20 * index, np.uint8)


def source(count: int = COUNT) -> FrameArrays:
    return FrameArrays([picture(index) for index in range(count)], fps=10.0)


def box(index: int) -> Box:
    return (2 * index, 4, 2 * index + 12, 20)


def tracked(index: int, lost: bool = False) -> Tracked:
    mask = np.zeros((32, 48), np.uint8)
    if not lost:
        left, top, right, bottom = box(index)
        mask[top:bottom, left:right] = 3
    frame = Frame(rgb=picture(index), index=index, name=f"{index:05d}", seconds=index / 10)
    return Tracked(frame=frame, mask=mask, objects=(ObjectState(3, 0.0 if lost else 0.75, lost),))


def write(path, indices=range(COUNT), **options):
    with TrackFolder(path, source(), **options) as folder:
        for index in indices:
            folder.write(tracked(index))


def interrupt(path, error, after=3):
    with TrackFolder(path, source()) as folder:
        for index in range(after):
            folder.write(tracked(index))
        raise error


def files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_what_is_written_is_read(tmp_path):
    drawn = tracked(0).mask
    origin = TrackOrigin(
        given={0: drawn}, names={3: "dancer"}, weights="default", weights_digest="ab", settings={"rounds": 0}
    )
    write(tmp_path / "out", origin=origin)
    track = open_track(tmp_path / "out")
    assert isinstance(track, TrackReader)
    assert (track.done, track.name, track.size, track.fps) == (True, "frames", (32, 48), 10.0)
    (dancer,) = track.objects
    assert (dancer.id, dancer.name, dancer.colour) == (3, "dancer", tuple(palette()[3]))
    assert [frame.index for frame in track.frames] == list(range(COUNT))
    for place, frame in enumerate(track.frames):
        (state,) = frame.objects
        assert (state.id, state.confidence, state.lost, state.area, state.box) == (3, 0.75, False, 192, box(place))
        assert frame.seconds == pytest.approx(place / 10)
        np.testing.assert_array_equal(track.mask(place), tracked(place).mask)
    np.testing.assert_array_equal(read_mask(track.given[0]), drawn)
    assert track.about["weights"] == {"name": "default", "digest": "ab"}
    assert track.about["settings"] == {"rounds": 0}
    assert track.about["tracked"] == {"frames": COUNT, "state": "done", "first": 0, "last": COUNT - 1}
    masks = [f"masks/{index:05d}.png" for index in range(COUNT)]
    assert files(tmp_path / "out") == ["done", "given/00000.png", *masks, "overlay.mp4", "states.jsonl", "track.json"]


def test_a_lost_object_has_no_box(tmp_path):
    with TrackFolder(tmp_path, source()) as folder:
        folder.write(tracked(0, lost=True))
    (state,) = open_track(tmp_path).frames[0].objects
    assert (state.lost, state.area, state.box, state.confidence) == (True, 0, None, 0.0)


def test_a_line_is_there_as_soon_as_its_frame_is_and_done_only_at_the_end(tmp_path):
    with TrackFolder(tmp_path, source()) as folder:
        for index in range(3):
            folder.write(tracked(index))
            track = open_track(tmp_path)
            assert (len(track.frames), track.done) == (index + 1, False)
    assert open_track(tmp_path).done


def test_the_video_is_described_with_its_hash(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", fps=10.0) as video:
        for index in range(COUNT):
            video.write(picture(index))
    with TrackFolder(tmp_path / "out", open_source(tmp_path / "clip.mp4")) as folder:
        folder.write(tracked(0))
    video = open_track(tmp_path / "out").about["video"]
    assert video["sha256"] == sha256(tmp_path / "clip.mp4")
    assert (video["name"], video["count"], video["partial"], video["path"]) == (
        *("clip", COUNT, False),
        str(tmp_path / "clip.mp4"),
    )


@pytest.mark.parametrize(
    ("error", "state"), [(KeyboardInterrupt(), "stopped"), (Stopped("x"), "stopped"), (DataError("bad"), "failed: bad")]
)
def test_what_was_tracked_before_an_interruption_is_kept(tmp_path, error, state):
    with pytest.raises(type(error)):
        interrupt(tmp_path, error)
    track = open_track(tmp_path)
    assert (track.done, len(track.frames)) == (False, 3)
    assert track.about["tracked"] == {"frames": 3, "state": state, "first": 0, "last": 2}
    assert len(list(VideoFile(tmp_path / "overlay.mp4"))) == 3


def test_a_torn_last_line_and_a_missing_last_mask_are_passed_over(tmp_path):
    write(tmp_path)
    states = tmp_path / "states.jsonl"
    whole = states.read_bytes()
    states.write_bytes(whole[:-20])
    assert [frame.index for frame in open_track(tmp_path).frames] == [0, 1, 2, 3]
    states.write_bytes(whole)
    (tmp_path / "masks" / "00004.png").unlink()
    assert [frame.index for frame in open_track(tmp_path).frames] == [0, 1, 2, 3]


def test_damage_in_the_middle_is_told(tmp_path):
    write(tmp_path)
    lines = (tmp_path / "states.jsonl").read_text().splitlines()
    (tmp_path / "states.jsonl").write_text("\n".join([lines[0], lines[1][:30], *lines[2:], ""]))
    with pytest.raises(DataError, match="line 2"):
        open_track(tmp_path)


@pytest.mark.parametrize("order", [[4, 3, 2, 1], [2, 3, 4, 1, 0]])
def test_frames_and_overlay_are_in_order_of_time_however_they_were_tracked(tmp_path, order):
    write(tmp_path, order)
    track = open_track(tmp_path)
    shown = [frame.index for frame in track.frames]
    assert shown == sorted(order)
    overlay = list(VideoFile(tmp_path / "overlay.mp4"))
    assert len(overlay) == len(order)
    for frame, index in zip(overlay, shown, strict=True):
        assert abs(float(frame.rgb[25:, 30:].mean()) - (40 + 20 * index)) < 6, "the background of this very frame"
    assert overlay[0].seconds == 0


def test_an_earlier_track_is_refused_or_replaced_and_nothing_of_it_stays(tmp_path):
    write(tmp_path)
    before = files(tmp_path)
    with pytest.raises(UsageError, match="--overwrite"):
        TrackFolder(tmp_path, source())
    assert files(tmp_path) == before
    with TrackFolder(tmp_path, source(), overwrite=True) as folder:
        assert not (tmp_path / "done").exists()
        folder.write(tracked(0))
    assert files(tmp_path) == ["done", "masks/00000.png", "overlay.mp4", "states.jsonl", "track.json"]


def test_what_a_killed_process_left_can_be_replaced(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupt(tmp_path, KeyboardInterrupt())
    (tmp_path / "masks" / ".00003-12345678.tmp.png").write_bytes(b"half")
    with (tmp_path / "states.jsonl").open("a") as states:
        states.write('{"index": 3, "na')
    write(tmp_path, overwrite=True)
    assert len(open_track(tmp_path).frames) == COUNT
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("strange", ["notes.txt", "masks/mine.png", "given/00009.png", "more/x.png"])
def test_what_no_track_wrote_is_never_removed(tmp_path, strange):
    write(tmp_path)
    (tmp_path / strange).parent.mkdir(exist_ok=True)
    (tmp_path / strange).write_bytes(b"mine")
    before = files(tmp_path)
    with pytest.raises(UsageError, match=strange.split("/")[0]):
        TrackFolder(tmp_path, source(), overwrite=True)
    assert files(tmp_path) == before


def test_a_folder_of_a_persons_own_masks_is_refused(tmp_path):
    write_mask(tmp_path / "masks" / "00000.png", tracked(0).mask)
    (tmp_path / "done").write_text("")
    with pytest.raises(UsageError, match="no track"):
        TrackFolder(tmp_path, source(), overwrite=True)
    assert files(tmp_path) == ["done", "masks/00000.png"]


def test_a_video_inside_the_folder_is_not_overwritten(tmp_path):
    write(tmp_path)
    with pytest.raises(UsageError, match="lies in"):
        TrackFolder(tmp_path, open_source(tmp_path / "overlay.mp4"), overwrite=True)
    assert (tmp_path / "overlay.mp4").exists()


def test_what_is_no_track_or_too_new_is_not_read(tmp_path):
    with pytest.raises(UsageError, match="no track"):
        open_track(tmp_path)
    write(tmp_path)
    about = json.loads((tmp_path / "track.json").read_text())
    (tmp_path / "track.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(DataError, match="newer"):
        open_track(tmp_path)


def test_too_little_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("selfvos.data.track_room.shutil.disk_usage", lambda _: _Usage)
    with pytest.raises(OutOfSpace, match="MiB are free"):
        TrackFolder(tmp_path / "out", source())
    assert not (tmp_path / "out").exists()


class _Usage:
    free = 1000


def test_a_full_disk_keeps_what_was_whole_and_is_not_done(tmp_path, monkeypatch):
    really_replace = os.replace

    def full_after_two(source, target):
        if str(target).endswith("00002.png"):
            raise OSError(errno.ENOSPC, "No space left on device")
        really_replace(source, target)

    monkeypatch.setattr("selfvos.storage.os.replace", full_after_two)
    with pytest.raises(OutOfSpace):
        write(tmp_path)
    track = open_track(tmp_path)
    assert ([frame.index for frame in track.frames], track.done) == ([0, 1], False)
