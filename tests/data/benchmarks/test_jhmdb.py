import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.data.benchmarks.jhmdb import JOINTS, VARIANTS
from selfvos.errors import DataError
from selfvos.settings import from_dict
from selfvos.tracking.settings import TrackConfig


def make(root, *videos, frames=3, listed="val.txt"):
    """Write clips of class ``run`` whose joint j is at x = 10 j + t, y = j in frame t, 0-based."""
    t, j = np.meshgrid(np.arange(frames), np.arange(15), indexing="ij")
    places = np.stack([10 * j + t, j]).transpose(0, 2, 1) + 1.0  # x and y, joint, frame, 1-based
    for name in videos:
        joints = root / "joint_positions" / "run" / name
        joints.mkdir(parents=True)
        savemat(joints / "joint_positions.mat", {"pos_img": places})
        pictures = root / "Rename_Images" / "run" / name
        pictures.mkdir(parents=True)
        for i in range(frames + 1):  # the data set has clips with pictures behind the last joints
            Image.new("RGB", (40, 30)).save(pictures / f"{i + 1:05d}.png")
    if listed:
        (root / listed).write_text("".join(f"run/{name}\n" for name in videos))
    return root


@pytest.mark.parametrize(("variant", "counted"), [("crw", ("00002", "00003")), ("spa", ("00001", "00002", "00003"))])
def test_joints_are_places_from_zero(tmp_path, variant, counted):
    benchmark = BENCHMARKS.get(f"jhmdb-{variant}")(make(tmp_path, "a"))
    (video,) = benchmark.videos
    assert (benchmark.task, benchmark.labels, benchmark.name) == ("points", JOINTS, f"jhmdb-{variant}")
    assert (video.name, video.category, video.objects) == ("a", "run", tuple(range(1, 16)))
    assert (video.given, video.counted) == (("00001",), counted)
    assert video.points("00003")[4].tolist() == [42.0, 4.0]
    assert [path.name for path in video.frames] == ["00001.png", "00002.png", "00003.png"]
    assert list(benchmark.faults()) == ["list val: 1 of 268 videos listed"]
    assert benchmark.note == "1 of 268 videos listed"


def test_variants_say_how_to_track():
    expected = {"crw": (12.0, "circle", "cells", 0.5, 3), "spa": (5.0, "square", "pixels", 4.0, 5)}
    for name, wanted in expected.items():
        config = from_dict(TrackConfig, dict(VARIANTS[name].track))
        found = (config.match.radius_cells, config.match.window, *vars(config.points).values())
        assert found == wanted
        assert (config.frame.size_px, config.refine.rounds, config.memory.last, config.match.top_k) == (
            (320, 320),
            0,
            20,
            10,
        )


def test_lists_of_paths_are_read(tmp_path):
    make(tmp_path, "b(1)", "a", listed=None)
    lines = [f"/x/joint_positions/run/{n}/joint_positions.mat /x/Rename_Images/run/{n}\n" for n in ("b(1)", "a", "a")]
    (tmp_path / "testlist_split1.txt").write_text("".join(lines))
    assert [video.name for video in BENCHMARKS.get("jhmdb-crw")(tmp_path).videos] == ["b(1)", "a"]


def test_the_split_files_name_test_videos(tmp_path):
    make(tmp_path, "a", "b", "c", listed=None)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "run_test_split1.txt").write_text("a.avi 2 \nb.avi 1 \nc.avi 2\n")
    (tmp_path / "splits" / "run_test_split2.txt").write_text("b.avi 2\n")
    found = BENCHMARKS.get("jhmdb-crw")(tmp_path).videos
    assert [(video.name, video.category) for video in found] == [("a", "run"), ("c", "run")]
    assert found[0].points("00001").shape == (15, 2)


def test_no_list_and_no_video_are_refused(tmp_path):
    with pytest.raises(DataError, match="no video is listed in .*: write CLASS/VIDEO lines to .*val.txt"):
        BENCHMARKS.get("jhmdb-crw")(tmp_path)
    (tmp_path / "val.txt").write_text("alone\n")
    with pytest.raises(DataError, match="'alone' names no video; write CLASS/VIDEO"):
        BENCHMARKS.get("jhmdb-crw")(tmp_path)


def test_broken_joints_and_missing_pictures_are_refused(tmp_path):
    (video,) = BENCHMARKS.get("jhmdb-crw")(make(tmp_path, "a")).videos
    (tmp_path / "Rename_Images" / "run" / "a" / "00002.png").unlink()
    with pytest.raises(DataError, match=r"no frame .*00002.png \(1 of 3 missing\)"):
        _ = video.frames
    with pytest.raises(DataError, match="no mask: use its points"):
        video.truth("00001")
    path = tmp_path / "joint_positions" / "run" / "a" / "joint_positions.mat"
    contents = [
        (lambda: savemat(path, {"pos_img": np.zeros((2, 13, 3))}), r"pos_img is \(2, 13, 3\)"),
        (lambda: savemat(path, {"pos_img": np.full((2, 15, 3), np.nan)}), "expected finite numbers"),
        (lambda: savemat(path, {"other": np.zeros(3)}), "has no pos_img"),
        (lambda: path.write_bytes(b"MATLAB"), "cannot read"),
        (path.unlink, "no joints .*: download the joint positions"),
    ]
    for spoil, words in contents:
        spoil()
        (video,) = BENCHMARKS.get("jhmdb-spa")(tmp_path).videos
        with pytest.raises(DataError, match=words):
            _ = video.frame_names
