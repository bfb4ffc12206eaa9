import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfvos.data.benchmarks import youtube_vos
from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.data.benchmarks.youtube_vos import TrainHoldout, YouTubeVos, read_meta
from selfvos.errors import DataError

FRAMES = ("00000", "00005", "00010", "00015", "00020")
OBJECTS = {2: FRAMES[:4], 7: FRAMES[2:], 9: FRAMES[2:4]}
"""Ids with gaps; 7 and 9 appear in the third frame."""


def write(path: Path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(ids, np.uint8)).save(path)


def ids(*row):
    return np.array([row, row], np.uint8)


def entry(objects, category=None):
    more = {"category": category} if category else {}
    return {"objects": {str(id): {"frames": list(frames), **more} for id, frames in objects.items()}}


def make_valid(root: Path, names=("b", "a")) -> Path:
    for name in names:
        for frame in FRAMES:
            (root / "valid" / "JPEGImages" / name).mkdir(parents=True, exist_ok=True)
            (root / "valid" / "JPEGImages" / name / f"{frame}.jpg").touch()
        masks = root / "valid" / "Annotations" / name
        write(masks / "00000.png", ids(0, 2, 2, 0))
        write(masks / "00010.png", ids(2, 0, 7, 9))
    meta = {"videos": {name: entry(OBJECTS) for name in names}}
    (root / "valid" / "meta.json").write_text(json.dumps(meta))
    return root


@pytest.fixture
def valid(tmp_path):
    return make_valid(tmp_path)


def test_the_registry_knows_every_variant():
    assert {name for name in BENCHMARKS.names() if name.startswith("youtube")} == {
        "youtube-vos-2018-valid",
        "youtube-vos-2018-valid-all-frames",
        "youtube-vos-2019-valid",
        "youtube-vos-2019-valid-all-frames",
        "youtube-vos-train-holdout",
    }


def test_objects_are_given_where_they_first_appear(valid):
    benchmark = YouTubeVos(valid, year=2019)
    assert [video.name for video in benchmark.videos] == ["a", "b"]
    video = benchmark.videos[0]
    assert video.objects == (2, 7, 9)
    assert video.given == ("00000", "00010")
    assert video.required == FRAMES
    assert video.given_mask("00000").tolist() == ids(0, 2, 2, 0).tolist()
    # The second mask shows object 2 as well, which was given before.
    assert video.given_mask("00010").tolist() == ids(0, 0, 7, 9).tolist()
    assert video.given_mask("00010").dtype == np.uint8


def test_only_frames_in_which_an_object_is_listed_are_required(valid):
    (valid / "valid" / "JPEGImages" / "a" / "00025.jpg").touch()
    video = YouTubeVos(valid, year=2019).videos[0]
    assert video.frame_names == (*FRAMES, "00025")
    assert video.required == FRAMES


def test_truth_is_on_the_server(valid):
    benchmark = BENCHMARKS.get("youtube-vos-2018-valid")(valid)
    assert benchmark.archive_prefix == "Annotations/"
    assert not benchmark.scored_here
    with pytest.raises(DataError, match=r"no annotation .*a/00005\.png: only the official server has it"):
        benchmark.videos[0].truth("00005")
    (valid / "valid" / "Annotations" / "a" / "00000.png").unlink()
    with pytest.raises(DataError, match=r"no annotation .*a/00000\.png: download the annotations"):
        benchmark.videos[0].given_mask("00000")


def test_the_root_may_be_the_folder_itself(valid, monkeypatch):
    names = [video.name for video in YouTubeVos(valid / "valid", year=2018).videos]
    assert names == ["a", "b"]
    monkeypatch.chdir(valid / "valid")
    pictures = valid / "valid_all_frames" / "JPEGImages" / "a"
    pictures.mkdir(parents=True)
    assert YouTubeVos(".", year=2018, all_frames=True).videos[0].frame_folder == pictures


def test_all_frames_are_tracked_and_the_same_are_required(valid):
    for name in ("a", "b"):
        folder = valid / "valid_all_frames" / "JPEGImages" / name
        folder.mkdir(parents=True)
        for i in range(22):
            (folder / f"{i:05d}.jpg").touch()
    benchmark = BENCHMARKS.get("youtube-vos-2019-valid-all-frames")(valid)
    video = benchmark.videos[0]
    assert len(video.frames) == 22
    assert video.frames[1] == valid / "valid_all_frames" / "JPEGImages" / "a" / "00001.jpg"
    assert video.required == FRAMES
    assert "all frames tracked (30 fps)" in benchmark.note


def test_missing_dense_frames_are_named(valid):
    video = YouTubeVos(valid, year=2019, all_frames=True).videos[0]
    with pytest.raises(DataError, match=r"no frame .*valid_all_frames/JPEGImages/a/00000\.jpg \(5 of 5 missing\)"):
        _ = video.frames


def test_the_note_tells_rate_and_what_is_missing(valid, monkeypatch):
    benchmark = YouTubeVos(valid, year=2019)
    assert benchmark.note == (
        "2 videos in meta.json, 2019 has 507; 6 objects in meta.json, 2019 has 1063; every fifth frame tracked (6 fps)"
    )
    monkeypatch.setitem(youtube_vos.OFFICIAL, 2019, (2, 6))
    assert YouTubeVos(valid, year=2019).note == "every fifth frame tracked (6 fps)"


def test_a_given_mask_without_its_object_is_refused(valid):
    write(valid / "valid" / "Annotations" / "a" / "00010.png", ids(0, 7, 7, 0))
    with pytest.raises(DataError, match=r"a/00010\.png does not show object 9, which meta\.json says appears"):
        YouTubeVos(valid, year=2019).videos[0].given_mask("00010")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("{", "Invalid JSON"),
        ("{}", "at videos: Field required"),
        ('{"videos": {}}', "at videos"),
        ('{"videos": {"a": {"objects": {}}}}', "at videos.a.objects"),
        ('{"videos": {"a": {"objects": {"one": {"frames": ["1"]}}}}}', "at videos.a.objects.one"),
        ('{"videos": {"a": {"objects": {"255": {"frames": ["1"]}}}}}', "at videos.a.objects.255"),
        ('{"videos": {"a": {"objects": {"1": {"frames": []}}}}}', "at videos.a.objects.1.frames"),
        ('{"videos": {"a": {"objects": {"1": {"frames": [5]}}}}}', "at videos.a.objects.1.frames.0"),
    ],
)
def test_a_wrong_list_is_refused_in_a_line(tmp_path, content, where):
    path = tmp_path / "meta.json"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_meta(path)
    assert str(path) in str(caught.value)
    assert where in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_fields_of_the_list_do_no_harm(tmp_path):
    path = tmp_path / "meta.json"
    path.write_text('{"videos": {"a": {"objects": {"3": {"frames": ["00000"], "x": 1}}, "y": 2}}, "info": "z"}')
    assert read_meta(path)["a"].objects[3].frames == ("00000",)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"neither .*valid nor .* holds meta\.json and JPEGImages"):
        YouTubeVos(tmp_path, year=2018)
    (tmp_path / "valid" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no file .*valid/meta\.json"):
        YouTubeVos(tmp_path, year=2018)


# --- The hold-out. ---


def make_train(root: Path, videos) -> Path:
    """Write the list of a training set: `videos` holds, by name, the category of each object's id."""
    meta = {
        name: {
            "objects": {
                str(id): {"frames": list(OBJECTS[id]), "category": category} for id, category in objects.items()
            }
        }
        for name, objects in videos.items()
    }
    (root / "train").mkdir()
    (root / "train" / "meta.json").write_text(json.dumps({"videos": meta}))
    return root


def many(count=400, categories=20):
    return {f"v{i:03d}": {2: f"kind{i % categories}", 7: f"kind{i % categories}"} for i in range(count)}


def test_half_of_the_videos_show_an_unseen_category(tmp_path):
    benchmark = BENCHMARKS.get("youtube-vos-train-holdout")(make_train(tmp_path, many()))
    assert isinstance(benchmark, TrainHoldout)
    assert len(benchmark.unseen) == 10
    assert len(benchmark.videos) == 200
    groups = [{video.group(id) for id in video.objects} for video in benchmark.videos]
    assert sum("unseen" in group for group in groups) == 100
    assert all(len(group) == 1 for group in groups)
    assert "YT-VOS train-holdout: 200 of 400 training videos, 10 of 20 categories unseen" in benchmark.note
    assert benchmark.scored_here
    assert list(benchmark.faults()) == []


def test_the_choice_is_the_same_everywhere(tmp_path):
    videos = many()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    once = TrainHoldout(make_train(tmp_path / "one", videos))
    again = TrainHoldout(make_train(tmp_path / "two", dict(reversed(videos.items()))))
    assert [video.name for video in once.videos] == [video.name for video in again.videos]
    assert once.unseen == again.unseen
    # By the rule, computed with sha256sum.
    assert once.unseen[:3] == ("kind14", "kind2", "kind9")
    assert [video.name for video in once.videos][:3] == ["v000", "v004", "v005"]


def test_each_object_is_scored_after_its_given_frame_and_to_the_last(tmp_path):
    videos = {**many(20), "b": {2: "kind1", 7: "kind2", 9: "kind3"}}
    benchmark = TrainHoldout(make_train(tmp_path, videos))
    video = benchmark.videos[0]
    assert video.name == "b"
    assert video.counted_for(2) == FRAMES[1:4]
    assert video.counted_for(7) == FRAMES[3:]
    assert video.counted == FRAMES[1:]
    write(tmp_path / "train" / "Annotations" / "b" / "00010.png", ids(2, 7, 7, 9))
    assert video.given_mask("00010").tolist() == ids(0, 7, 7, 9).tolist()
    assert video.truth("00010").tolist() == ids(2, 7, 7, 9).tolist()
    assert list(benchmark.faults()) == ["21 videos to hold out, the whole training set gives 200"]


def test_categories_are_needed_and_enough_of_them(tmp_path):
    make_train(tmp_path, many(20, categories=6))
    with pytest.raises(DataError, match="has 6 categories: 10 are held out as unseen"):
        TrainHoldout(tmp_path)
    (tmp_path / "train" / "meta.json").write_text(json.dumps({"videos": {"a": entry(OBJECTS)}}))
    with pytest.raises(DataError, match=r"meta\.json lacks the category of an object"):
        TrainHoldout(tmp_path)
