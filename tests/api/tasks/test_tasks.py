import numpy as np
import pytest

from selfvos.api.tasks.base import TASKS, task_of
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark
from selfvos.data.benchmarks.davis import Davis
from selfvos.data.benchmarks.folder import Folder
from selfvos.data.benchmarks.jhmdb import Jhmdb
from selfvos.data.benchmarks.vip import Vip
from selfvos.data.benchmarks.youtube_vos import TrainHoldout, YouTubeVos
from selfvos.data.mask_png import write_mask
from selfvos.errors import UsageError


@pytest.fixture
def video(tmp_path):
    """A labelled video of six frames, one object."""
    for t in range(6):
        mask = np.zeros((20, 30), np.uint8)
        mask[4:12, 3 + t : 13 + t] = 1
        write_mask(tmp_path / "masks" / "a" / f"{t}.png", mask)
    return Folder(tmp_path)


@pytest.mark.parametrize("kind", [Davis, Folder, Jhmdb, Vip, YouTubeVos, TrainHoldout])
def test_every_benchmark_names_a_task_that_there_is(kind):
    assert kind.task in TASKS.names()
    assert len(BENCHMARKS.names()) > 6


def test_every_task_keeps_its_results_in_a_folder_and_names_its_files(video):
    for name in TASKS.names():
        task = TASKS.get(name)
        files = task.files(video.videos[0])
        assert task.folder
        assert len(set(files)) == len(files) > 0
        assert all(not path.is_absolute() for path in files)


def test_masks_are_scored_as_objects(video, tmp_path):
    report = task_of(video).score(video, tmp_path / "masks", {"weights": "mine"}, watch=_ignored())
    assert report.overall["J-Mean"] == report.overall["F-Mean"] == 1
    assert list(report.provenance) == ["data", "results", "weights"]


def test_given_masks_that_lack_an_object_are_a_fault_of_masks_alone(video, monkeypatch):
    monkeypatch.setattr(type(video.videos[0]), "objects", (1, 5))
    assert list(TASKS.get("masks").faults(video.videos[0])) == ["a: no given mask shows object 5 of 1, 5: ids jump"]
    assert list(TASKS.get("parts").faults(video.videos[0])) == []


def test_points_cannot_be_followed_in_a_video_without(video):
    with pytest.raises(UsageError, match="a has no points to follow"):
        TASKS.get("points").require_given(video.videos[0])
    assert TASKS.get("points").pictures(video, {}, {}, [(0, 0)]) == ()


def test_a_benchmark_of_another_task_brings_it_in_one_file(video, monkeypatch):
    class Boxes(type(TASKS.get("masks"))):
        folder = "boxes"

    monkeypatch.setitem(TASKS._things, "boxes", Boxes())
    monkeypatch.setattr(Benchmark, "task", "boxes")
    assert task_of(video).folder == "boxes"


def _ignored():
    from selfvos.types import ignore

    return ignore
