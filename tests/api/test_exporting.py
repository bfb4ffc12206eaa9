import numpy as np
import pytest

from selfvos import api
from selfvos.data.mask_png import write_mask
from selfvos.data.source import open_source
from selfvos.data.track_folder import TrackFolder, TrackOrigin
from selfvos.data.video_writer import VideoWriter
from selfvos.errors import DataError, Stopped, UnknownName, UsageError
from selfvos.types import ObjectState, Tracked, TrackReader, Watching

FRAMES = 6


def ids(t):
    mask = np.zeros((24, 33), np.uint8)
    mask[4:12, 2 + 2 * t : 10 + 2 * t] = 3
    if t != 2:
        mask[15:20, 20:26] = 8
    return mask


@pytest.fixture
def video(tmp_path):
    with VideoWriter(tmp_path / "pond.mp4", fps=12.0) as writer:
        for t in range(FRAMES):
            writer.write(np.full((24, 33, 3), 30 * t, np.uint8))
    return tmp_path / "pond.mp4"


@pytest.fixture
def folder(tmp_path, video):
    """A tracked video, without its first frame; the decoder gives 24x34 pixels back."""
    origin = TrackOrigin(given={}, names={3: "koi"})
    with TrackFolder(tmp_path / "result", open_source(video), origin) as track:
        for frame in open_source(video).frames(1):
            mask = np.pad(ids(frame.index), ((0, 0), (0, 1)))
            lost = frame.index == 2
            states = (ObjectState(3, 0.75, False), ObjectState(8, 0.0 if lost else 0.5, lost))
            track.write(Tracked(frame=frame, mask=mask, objects=states))
    return tmp_path / "result"


def same(one: TrackReader, other: TrackReader) -> bool:
    return all(np.array_equal(one.mask(i), other.mask(i)) for i in range(FRAMES - 1))


def test_a_track_folder_comes_back_from_coco_as_it_was(folder, video, tmp_path):
    made = api.export(folder, "coco", tmp_path / "a.json")
    assert (made.format, made.frames, made.objects) == ("coco", 5, 2)
    assert made.bytes == (tmp_path / "a.json").stat().st_size
    assert "2 objects in 5 frames" in made.table()
    again = api.import_track(tmp_path / "a.json", tmp_path / "again", video=video)
    before = api.open_track(folder)
    assert again.done
    assert again.frames == before.frames
    assert [thing.name for thing in again.objects] == ["koi", "object 8"]
    assert same(again, before)
    assert again.about["video"]["sha256"] == before.about["video"]["sha256"]


def test_masks_find_their_frames_by_name_where_the_format_has_no_numbers(folder, video, tmp_path):
    api.export(folder, "png", tmp_path / "masks")
    again = api.import_track(tmp_path / "masks", tmp_path / "again", video=video)
    assert [record.index for record in again.frames] == [1, 2, 3, 4, 5]
    assert same(again, api.open_track(folder))


def test_without_a_video_the_overlay_is_on_black(folder, tmp_path):
    api.export(folder, "cvat-images", tmp_path / "a.xml")
    again = api.import_track(tmp_path / "a.xml", tmp_path / "again")
    assert [record.index for record in again.frames] == [1, 2, 3, 4, 5]
    assert same(again, api.open_track(folder))
    assert again.about["video"]["path"] is None
    first = next(iter(open_source(tmp_path / "again" / "overlay.mp4")))
    assert first.rgb[20:].max() < 20 < first.rgb[6, 8].max()


def test_any_track_can_be_exported_again(folder, tmp_path):
    api.export(folder, "cvat-video", tmp_path / "a.xml")
    api.export(tmp_path / "a.xml", "png16", tmp_path / "b")
    assert same(api.read_track(tmp_path / "b"), api.open_track(folder))
    assert same(api.read_track(folder), api.open_track(folder))
    assert same(api.read_track(folder / "masks"), api.open_track(folder))


def test_the_video_that_the_track_names_is_used_while_it_is_there(folder, video, tmp_path):
    api.export(folder, "overlay", tmp_path / "a.mp4")
    assert open_source(tmp_path / "a.mp4").exact_count() == 5
    moved = video.rename(tmp_path / "moved.mp4")
    with pytest.raises(UsageError, match="--video"):
        api.export(folder, "overlay", tmp_path / "b.mp4")
    with pytest.raises(UsageError, match="--video"):
        api.check_export(folder, "overlay", tmp_path / "b.mp4")
    api.export(folder, api.Choice(format="overlay", video=moved), tmp_path / "b.mp4")
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "a.mp4").read_bytes()


def test_only_the_objects_that_are_asked_for_are_written(folder, tmp_path):
    api.export(folder, api.Choice(format="png", objects=[8]), tmp_path / "out")
    track = api.read_track(tmp_path / "out")
    assert [thing.id for thing in track.objects] == [8]
    with pytest.raises(DataError, match="no object 4"):
        api.export(folder, api.Choice(format="png", objects=[4]), tmp_path / "other")


def test_an_export_replaces_only_an_export_and_only_when_told(folder, tmp_path):
    for name, out in (("png", tmp_path / "out"), ("coco", tmp_path / "out.json")):
        api.export(folder, name, out)
        with pytest.raises(UsageError, match="is there already"):
            api.export(folder, name, out)
        api.export(folder, name, out, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="holds what no export wrote"):
        api.export(folder, "png", tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_stopped_import_says_how_far_it_came(folder, tmp_path):
    api.export(folder, "png", tmp_path / "out")
    told = []
    watch = Watching(lambda *facts: told.append(facts), lambda: len(told) == 2)
    with pytest.raises(Stopped):
        api.import_track(tmp_path / "out", tmp_path / "again", watch=watch)
    assert told == [("importing", 1, 5), ("importing", 2, 5)]
    assert not api.open_track(tmp_path / "again").done


def test_another_video_is_refused(folder, tmp_path):
    api.export(folder, "coco", tmp_path / "a.json")
    with VideoWriter(tmp_path / "small.mp4") as writer:
        for _ in range(FRAMES):
            writer.write(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(DataError, match="24x34, the video's frames are 16x16"):
        api.import_track(tmp_path / "a.json", tmp_path / "again", video=tmp_path / "small.mp4")
    with pytest.raises(DataError, match="16x16, the masks 24x34"):
        api.export(folder, api.Choice(format="rgba", video=tmp_path / "small.mp4"), tmp_path / "out")
    with VideoWriter(tmp_path / "short.mp4") as writer:
        for _ in range(3):
            writer.write(np.zeros((24, 34, 3), np.uint8))
    with pytest.raises(DataError, match="ends before 3 of the masks"):
        api.import_track(tmp_path / "a.json", tmp_path / "other", video=tmp_path / "short.mp4")
    with pytest.raises(DataError, match="ends before frame 3 of the track"):
        api.export(folder, api.Choice(format="rgba", video=tmp_path / "short.mp4"), tmp_path / "out")


def test_what_is_asked_for_wrongly_is_refused(folder, tmp_path):
    with pytest.raises(UnknownName, match="unknown format 'cocos'; did you mean 'coco'"):
        api.export(folder, "cocos", tmp_path / "a.json")
    with pytest.raises(UsageError, match="no such file"):
        api.read_track(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UsageError, match=r"looks like none of coco, .*--from"):
        api.read_track(tmp_path / "a.txt")


def test_the_estimate_of_a_long_track_is_near(tmp_path):
    for t in range(40):
        write_mask(tmp_path / "in" / f"{t}.png", ids(t % 8))
    guessed = api.estimate(tmp_path / "in", "coco")
    made = api.export(tmp_path / "in", "coco", tmp_path / "a.json")
    assert guessed == pytest.approx(made.bytes, rel=0.3)
