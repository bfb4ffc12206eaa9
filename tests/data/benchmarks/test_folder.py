from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.data.benchmarks.folder import Folder
from selfvos.data.mask_png import write_mask
from selfvos.errors import DataError, MaskMismatch
from selfvos.evaluation.protocols import score_results
from selfvos.evaluation.report import summarise


def write(path: Path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mask(path, np.asarray(ids, np.uint8))


def ids(*row):
    return np.array([row, row], np.uint8)


def make(root: Path, masks, *, frames=6, names=("frames", "masks"), suffix="jpg"):
    """Write videos of `frames` pictures; `masks` holds ids by video and then by frame number."""
    for video, labelled in masks.items():
        for i in range(frames):
            path = root / names[0] / video / f"f{i}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for i, mask in labelled.items():
            write(root / names[1] / video / f"f{i}.png", mask)
    return root


MASKS = {1: ids(0, 200, 0), 3: ids(0, 0, 0), 4: ids(254, 200, 3), 5: ids(254, 0, 3)}


@pytest.mark.parametrize("names", [("frames", "masks"), ("JPEGImages", "Annotations")])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_objects_are_given_in_the_first_mask_that_shows_them(tmp_path, names, suffix):
    (video,) = BENCHMARKS.get("folder")(make(tmp_path, {"a": MASKS}, names=names, suffix=suffix)).videos
    assert video.objects == (3, 200, 254)
    assert video.given == ("f1", "f4")
    assert video.given_mask("f4").tolist() == ids(254, 0, 3).tolist()
    assert video.required == ("f1", "f2", "f3", "f4", "f5")
    assert [path.name for path in video.frames] == [f"f{i}.{suffix}" for i in range(6)]


def test_every_labelled_frame_after_the_given_one_counts(tmp_path):
    (video,) = Folder(make(tmp_path, {"a": MASKS})).videos
    assert video.counted == ("f3", "f4", "f5")
    assert video.counted_for(200) == ("f3", "f4", "f5")  # an empty mask is a labelled one
    assert video.counted_for(3) == ("f5",)
    with pytest.raises(DataError, match=r"no mask of frame f2 in .*masks/a"):
        video.truth("f2")


def test_a_single_video_needs_no_folder_of_its_own(tmp_path):
    root = make(tmp_path / "clip", {"": MASKS})
    (video,) = Folder(root).videos
    assert video.name == "clip"
    assert len(video.frames) == 6
    assert video.given == ("f1", "f4")


def test_frames_come_in_natural_order(tmp_path):
    root = make(tmp_path, {"a": {2: ids(1, 0, 0), 10: ids(0, 1, 0)}}, frames=11)
    (video,) = Folder(root).videos
    assert video.given == ("f2",)
    assert video.counted == ("f10",)


def test_scores_are_those_of_the_labelled_frames(tmp_path):
    root = make(tmp_path / "data", {"a": MASKS, "b": {0: ids(0, 1, 1), 5: ids(1, 1, 0)}})
    for name, mask in {"f3": ids(0, 0, 0), "f4": ids(254, 200, 3), "f5": ids(254, 0, 0)}.items():
        write(tmp_path / "results" / "a" / f"{name}.png", mask)
    write(tmp_path / "results" / "b" / "f5.png", ids(0, 1, 0))
    benchmark = Folder(root)
    report = summarise(benchmark, score_results(benchmark, tmp_path / "results", workers=1))
    assert {name: row["J-Mean"] for name, row in report.per_object.items()} == {
        "a_3": 0, "a_200": 1, "a_254": 1, "b_1": 0.5,
    }  # fmt: skip
    assert report.overall["J-Mean"] == pytest.approx(0.625)


def test_an_object_that_is_labelled_once_is_not_scored(tmp_path):
    root = make(tmp_path / "data", {"a": {0: ids(0, 1, 1), 5: ids(1, 1, 2)}, "b": {2: ids(0, 4, 0)}})
    write(tmp_path / "results" / "a" / "f5.png", ids(1, 1, 0))
    (tmp_path / "results" / "b").mkdir()
    assert [one.name for one in score_results(Folder(root), tmp_path / "results", workers=1)] == ["a_1"]


def test_given_masks_alone_leave_nothing_to_score(tmp_path):
    root = make(tmp_path / "data", {"a": {0: ids(0, 1, 1)}})
    (tmp_path / "results" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="no frame to score, all masks are given ones; label later frames"):
        score_results(Folder(root), tmp_path / "results", workers=1)


def test_an_id_between_those_of_the_objects_is_refused(tmp_path):
    root = make(tmp_path / "data", {"a": {0: ids(0, 1, 4), 5: ids(0, 1, 4)}})
    write(tmp_path / "results" / "a" / "f5.png", ids(0, 2, 4))
    with pytest.raises(MaskMismatch, match=r"a/f5\.png holds label 2, a has objects 1, 4; write the ids"):
        score_results(Folder(root), tmp_path / "results", workers=1)


def test_videos_without_masks_are_left_out_and_noted(tmp_path):
    root = make(tmp_path, {"a": MASKS, "b": {}})
    benchmark = Folder(root)
    assert [video.name for video in benchmark.videos] == ["a"]
    assert benchmark.unlisted() == ("b",)
    assert benchmark.note == "videos left out for want of masks: 1"


def test_a_mask_without_its_picture_is_named(tmp_path):
    root = make(tmp_path, {"a": {**MASKS, 9: ids(0, 0, 0)}})
    with pytest.raises(DataError, match=r"no frame .*frames/a/f9\.jpg \(1 of 7 missing\)"):
        _ = Folder(root).videos[0].frames


def test_what_is_missing_altogether_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*masks: write the masks"):
        Folder(tmp_path)
    (tmp_path / "masks" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no masks in .*masks: write one folder"):
        Folder(tmp_path)
    write(tmp_path / "masks" / "a" / "f0.png", ids(0, 0))
    with pytest.raises(DataError, match=r"no object in the masks of .*masks/a"):
        _ = Folder(tmp_path).videos[0].objects


def test_a_real_video_of_another_data_set(shared_data, tmp_path):
    for mine, theirs in (("frames", "JPEGImages"), ("masks", "Annotations")):
        (tmp_path / mine).symlink_to(shared_data / "pumavos_chair" / theirs / "480p")
    (video,) = Folder(tmp_path).videos
    assert (video.name, len(video.frames), len(video.objects)) == ("chair", 60, 1)
    assert video.given == video.frame_names[:1]
    assert len(video.counted) == 59


def test_a_white_mask_is_one_object_as_in_tracking(tmp_path):
    root = make(tmp_path, {"a": {0: ids(0, 1, 0)}})
    for i in (0, 5):
        Image.fromarray(ids(0, 255, 0)).save(root / "masks" / "a" / f"f{i}.png")
    (video,) = Folder(root).videos
    assert video.objects == (1,)
    assert video.truth("f5").tolist() == ids(0, 1, 0).tolist()


def test_ids_above_255_are_read_as_they_are_written(tmp_path):
    root = make(tmp_path / "data", {"a": {}})
    wide = np.array([[0, 300, 2]] * 2, np.uint16)
    for folder in (root / "masks" / "a", tmp_path / "results" / "a"):
        folder.mkdir(parents=True)
        write_mask(folder / "f5.png", wide)
    write_mask(root / "masks" / "a" / "f0.png", wide)
    benchmark = Folder(root)
    assert benchmark.videos[0].given_mask("f0").tolist() == wide.tolist()
    scores = score_results(benchmark, tmp_path / "results", workers=1)
    assert {one.name: one.values["J"].tolist() for one in scores} == {"a_2": [1.0], "a_300": [1.0]}


def test_masks_named_otherwise_than_frames_are_refused_with_both_names(tmp_path):
    root = make(tmp_path, {"a": {0: ids(0, 1, 0), 5: ids(0, 1, 0)}})
    for i in (0, 5):
        (root / "masks" / "a" / f"f{i}.png").rename(root / "masks" / "a" / f"f0000{i}.png")
    both = r"f00000\.jpg \(2 of 8 missing\): mask .*f00000\.png .* picture f0\.jpg no mask"
    with pytest.raises(DataError, match=both):
        _ = Folder(root).videos[0].frames
