import shutil

import numpy as np
import pytest
from PIL import Image

from selfvos.api import score
from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.data.benchmarks.davis_dev30 import HARD, UNSEEN, DavisDev30
from selfvos.data.source import read_image
from selfvos.data.video_writer import VideoWriter
from selfvos.errors import DataError

SIZE = (32, 48)


def picture(t):
    rgb = np.full((*SIZE, 3), 40, np.uint8)
    rgb[:, 8 * t : 8 * t + 16] = 200
    return rgb


def mask(t):
    ids = np.zeros(SIZE, np.uint8)
    ids[8:24, 8 * t : 8 * t + 16] = 255
    return ids


@pytest.fixture
def root(tmp_path):
    """Two sequences as pictures, one of them hard, and one as a clip."""
    for name in ("motorbike", "surf", "bear"):
        folder = tmp_path / "Annotations" / "480p" / name
        folder.mkdir(parents=True)
        for t in range(4):
            Image.fromarray(mask(t)).save(folder / f"{t:05d}.png")
    for name in ("motorbike", "surf"):
        folder = tmp_path / "JPEGImages" / "480p" / name
        folder.mkdir(parents=True)
        for t in range(4):
            Image.fromarray(picture(t)).save(folder / f"{t:05d}.jpg")
    write_clip(tmp_path, "bear", 4)
    (tmp_path / "ImageSets" / "2016").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2016" / "train.txt").write_text("bear\nmotorbike\nsurf\n")
    return tmp_path


def write_clip(root, name, frames):
    (root / "clips_480p").mkdir(exist_ok=True)
    with VideoWriter(root / "clips_480p" / f"{name}.mp4", crf=10) as writer:
        for t in range(frames):
            writer.write(picture(t))


def test_frames_come_from_pictures_or_from_the_clip(root, tmp_path):
    bear, motorbike, _ = DavisDev30(root, cache=tmp_path / "cache").videos
    assert motorbike.frames[0].parent == root / "JPEGImages" / "480p" / "motorbike"
    assert [path.name for path in bear.frames] == [f"{t:05d}.jpg" for t in range(4)]
    for t, path in enumerate(bear.frames):
        assert np.abs(read_image(path).astype(int) - picture(t)).mean() < 5
    assert bear.truth("00002").tolist() == (mask(2) > 0).astype(int).tolist()
    assert bear.counted == ("00001", "00002")


def test_a_clip_is_decoded_once(root, tmp_path):
    first = DavisDev30(root, cache=tmp_path / "cache").videos[0].frames
    seen = [path.stat().st_mtime_ns for path in first]
    again = DavisDev30(root, cache=tmp_path / "cache").videos[0].frames
    assert again == first
    assert [path.stat().st_mtime_ns for path in again] == seen


@pytest.mark.parametrize("frames", [3, 5])
def test_a_clip_of_another_length_is_refused_and_leaves_nothing(root, tmp_path, frames):
    write_clip(root, "bear", frames)
    with pytest.raises(DataError, match=f"bear.mp4 has {frames} frames and there are 4 masks"):
        _ = DavisDev30(root, cache=tmp_path / "cache").videos[0].frames
    assert list((tmp_path / "cache").iterdir()) == []


def test_neither_pictures_nor_a_clip_is_told(root, tmp_path):
    shutil.rmtree(root / "clips_480p")
    with pytest.raises(DataError, match="sequence bear: neither pictures in .* nor a clip"):
        _ = DavisDev30(root, cache=tmp_path / "cache").videos[0].frames


def test_the_unseen_and_the_hard_ones_have_means_of_their_own(root, tmp_path):
    results = tmp_path / "results"
    for name, shift in (("bear", 0), ("motorbike", 0), ("surf", 4)):
        (results / name).mkdir(parents=True)
        for t in range(4):
            Image.fromarray(np.roll(mask(t), shift, axis=1)).save(results / name / f"{t:05d}.png")
    report = score(results, "davis-2016-dev30", root=root)
    assert report.per_object["bear_1"]["J-Mean"] == 1
    lost = report.per_object["surf_1"]["J-Mean"]
    assert lost == pytest.approx(12 / 20)
    unseen, hard = report.per_attribute["unseen in training"], report.per_attribute["hard eight"]
    assert (unseen["objects"], unseen["J-Mean"]) == (1, 1.0)
    assert unseen["J-Mean of others"] == pytest.approx((1 + lost) / 2)
    assert (hard["objects"], hard["J-Mean"], hard["J-Mean of others"]) == (1, pytest.approx(lost), 1.0)


def test_real_sequences_are_thirty(shared_data, tmp_path):
    benchmark = DavisDev30(shared_data / "davis2016_train", cache=tmp_path)
    names = {video.name for video in benchmark.videos}
    assert len(names) == 30
    assert names >= {*UNSEEN, *HARD}
    assert not set(UNSEEN) & set(HARD)
    assert benchmark.note == ""
    assert "davis-2016-dev30" in BENCHMARKS.names()
