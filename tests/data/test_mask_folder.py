import errno
import os
from collections.abc import Iterable

import numpy as np
import pytest

from selfvos.data.mask_folder import MaskFolder
from selfvos.data.mask_png import read_mask
from selfvos.data.video import VideoFile
from selfvos.errors import DataError, OutOfSpace
from selfvos.types import Frame, Tracked


def tracked(index: int, size: tuple[int, int] = (32, 48), seconds: float | None = None) -> Tracked:
    mask = np.zeros(size, np.uint8)
    mask[4:20, 2 * index : 2 * index + 12] = 3
    rgb = np.full((*size, 3), 120, np.uint8)
    shown = index / 10 if seconds is None else seconds
    return Tracked(frame=Frame(rgb=rgb, index=index, name=f"img{index}", seconds=shown), mask=mask, objects=())


def write_all(folder: MaskFolder, results: Iterable[Tracked]) -> None:
    with folder:
        for result in results:
            folder.write(result)


def test_masks_are_named_like_frames_and_the_overlay_has_them_all(tmp_path):
    with MaskFolder(tmp_path / "masks", overlay_video=tmp_path / "overlay.mp4") as results:
        for index in range(6):
            results.write(tracked(index))
            assert (tmp_path / "masks" / f"img{index}.png").exists(), "written as it comes, not at the end"
            assert not (tmp_path / "overlay.mp4").exists()
    assert sorted(os.listdir(tmp_path / "masks")) == [f"img{i}.png" for i in range(6)]
    np.testing.assert_array_equal(read_mask(tmp_path / "masks" / "img4.png"), tracked(4).mask)
    frames = list(VideoFile(tmp_path / "overlay.mp4"))
    assert len(frames) == 6
    assert np.abs(frames[0].rgb[30, 40].astype(int) - 120).max() < 8, "background as it was"
    assert np.abs(frames[0].rgb[12, 6].astype(int) - 120).max() > 30, "object tinted"


def test_masks_alone(tmp_path):
    with MaskFolder(tmp_path / "dog") as results:
        results.write(tracked(0))
    assert os.listdir(tmp_path) == ["dog"]
    assert os.listdir(tmp_path / "dog") == ["img0.png"]


def test_nothing_tracked_nothing_written(tmp_path):
    with MaskFolder(tmp_path / "masks", overlay_video=tmp_path / "overlay.mp4"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_leaving_early_loses_nothing(tmp_path, stop):
    def four_frames():
        yield from (tracked(index) for index in range(4))
        raise stop

    with pytest.raises(stop):
        write_all(MaskFolder(tmp_path / "masks", overlay_video=tmp_path / "overlay.mp4"), four_frames())
    assert sorted(os.listdir(tmp_path / "masks")) == [f"img{i}.png" for i in range(4)]
    assert len(list(VideoFile(tmp_path / "overlay.mp4"))) == 4
    assert sorted(os.listdir(tmp_path)) == ["masks", "overlay.mp4"]


def test_a_frame_that_does_not_fit_ends_the_overlay_before_it(tmp_path):
    folder = MaskFolder(tmp_path / "masks", overlay_video=tmp_path / "overlay.mp4")
    with pytest.raises(DataError, match="one size"):
        write_all(folder, [tracked(0), tracked(1, size=(40, 48))])
    assert len(list(VideoFile(tmp_path / "overlay.mp4"))) == 1


def test_a_full_disk_keeps_what_was_whole(tmp_path, monkeypatch):
    (tmp_path / "overlay.mp4").write_bytes(b"old")
    really_replace = os.replace

    def full_after_two(source, target):
        if not str(target).endswith(("img0.png", "img1.png")):
            raise OSError(errno.ENOSPC, "No space left on device")
        really_replace(source, target)

    monkeypatch.setattr("selfvos.storage.os.replace", full_after_two)
    folder = MaskFolder(tmp_path / "masks", overlay_video=tmp_path / "overlay.mp4")
    with pytest.raises(OutOfSpace):
        write_all(folder, map(tracked, range(10)))
    assert sorted(os.listdir(tmp_path / "masks")) == ["img0.png", "img1.png"]
    assert (tmp_path / "overlay.mp4").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["masks", "overlay.mp4"]
