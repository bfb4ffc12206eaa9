"""A folder with one video of every kind that spoils a training, and some that do not."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from tests.tiny import frame_folder

from selfvos import api, cli
from selfvos.data.clips import ClipConfig
from selfvos.data.shards import write_shards
from selfvos.data.video_writer import VideoWriter
from selfvos.errors import DataError, Stopped, UsageError
from selfvos.types import Watching

CLIPS = ClipConfig(offsets=(0, 1, 2), frame_step=2, crop_px=64)
SHORT_PX, LONG_PX = 64, 96


def scene(number, t, scale=1):
    """Uneven ground with something that moves."""
    rng = np.random.default_rng(number)
    ground = np.kron(rng.integers(30, 220, (8, 12, 3)), np.ones((8 * scale, 8 * scale, 1))).astype(np.uint8)
    ground[20 * scale : 40 * scale, (4 + 5 * t) * scale : (24 + 5 * t) * scale] = (240, 40, 40)
    return ground


def film(path, frames, *, crf=5, fps=12.0):
    with VideoWriter(path, fps=fps, crf=crf) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    film(root / "good.mp4", (scene(1, t) for t in range(10)))
    shutil.copy(root / "good.mp4", root / "good_copy.mp4")
    film(root / "good_smaller.mp4", (scene(1, t, 2) for t in range(10)), crf=30)
    film(root / "other.mp4", (scene(2, t) for t in range(10)))
    film(root / "short.mp4", (scene(3, t) for t in range(2)))
    film(root / "squeezed.mp4", (scene(4, t) for t in range(4)))
    film(root / "still.mp4", (scene(5, 0) for _ in range(10)))
    film(root / "tiny.mp4", (scene(6, t)[:48, :64] for t in range(8)))
    (root / "junk.mp4").write_bytes(b"no video")
    whole = film(root / "cut.mkv", (scene(7, t) for t in range(14))).read_bytes()
    (root / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    frame_folder(root / "frames", 6)
    (root / "photos").mkdir()
    Image.fromarray(scene(8, 0)).save(root / "photos" / "a.png")
    Image.fromarray(scene(9, 0)[:20]).save(root / "photos" / "b.png")
    (root / "notes.txt").write_text("nothing")
    return root


@pytest.fixture(scope="module")
def found(folder):
    return api.check_videos(folder, clips=CLIPS)


def test_each_fault_is_told_of_its_video_alone(found):
    told = {one.name: one for one in found.videos}
    assert (told["good.mp4"].unusable, told["good.mp4"].notes) == ("", ())
    assert (told["other.mp4"].unusable, told["other.mp4"].notes) == ("", ())
    assert told["frames"].notes == ()
    assert told["good_copy.mp4"].notes == ("the same as good.mp4",)
    assert told["good_smaller.mp4"].notes == ("looks the same as good.mp4",)
    assert told["short.mp4"].unusable == "2 frames, at least 3 are needed"
    assert told["squeezed.mp4"].notes == ("shorter than a clip of 5 frames: motion is slower in it",)
    assert told["still.mp4"].notes == ("nothing moves",)
    assert told["tiny.mp4"].notes == ("tiny: crops of 64 pixels are enlarged from 48",)
    assert told["junk.mp4"].unusable
    assert told["photos/a.png"].notes == ()
    assert told["photos/b.png"].notes == ("tiny: crops of 64 pixels are enlarged from 20",)
    assert (told["good.mp4"].frames, told["good.mp4"].height, told["good.mp4"].width) == (10, SHORT_PX, LONG_PX)


def test_a_video_that_breaks_off_says_after_how_many_frames(found):
    (cut,) = (one for one in found.videos if one.name == "cut.mkv")
    assert 0 < cut.frames < 14
    assert any(note.startswith(f"breaks off after {cut.frames}") for note in cut.notes)


def test_sums_and_what_a_training_takes_agree(found, folder, tmp_path):
    assert len(found.faults) == 2
    assert found.usable == len(found.videos) - 2
    cached = api.open_video_cache(folder, None, cache=tmp_path / "cache")
    names = {one.name for one in found.videos if not one.unusable and not one.photo}
    assert names <= {video.name for video in cached.videos}
    *rows, last = found.table().splitlines()
    assert "2 photographs" in last
    assert f"{found.usable} can be learned from, 2 cannot" in last
    assert not any(row.startswith("good.mp4") for row in rows)
    assert json.loads(json.dumps(found.to_dict()))["usable"] == found.usable


def test_shards_are_looked_into(folder, tmp_path):
    names = ("good.mp4", "short.mp4")
    write_shards([(name, folder / name) for name in names], tmp_path / "shards", shard_bytes=10**6)
    told = api.check_videos(tmp_path / "shards", clips=CLIPS)
    assert sorted(bool(one.unusable) for one in told.videos) == [False, True]


def test_folders_without_a_video_and_a_stop(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no video in"):
        api.check_videos(tmp_path / "empty")
    with pytest.raises(UsageError):
        api.check_videos(tmp_path / "none")
    with pytest.raises(Stopped):
        api.check_videos(folder, clips=CLIPS, watch=Watching(lambda *_, **__: None, lambda: True))


def test_the_command_tells_faults_by_its_status(monkeypatch, capsys, folder, tmp_path):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["selfvos", "data", "check", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    small = ["--set", "clips.offsets=[0,1,2]", "--set", "clips.crop_px=64"]
    status, text, _ = run(folder, *small)
    assert status == 3
    assert "junk.mp4" in text
    (tmp_path / "fine").mkdir()
    shutil.copy(folder / "good.mp4", tmp_path / "fine" / "good.mp4")
    status, text, err = run(tmp_path / "fine", *small, "--json")
    assert (status, json.loads(text)["usable"]) == (0, 1), err
    status, _, err = run("davis-2016-val")
    assert (status, "--root" in err) == (2, True)
