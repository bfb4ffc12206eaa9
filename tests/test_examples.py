import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from selfvos.data.mask_png import write_mask
from selfvos.data.video_writer import VideoWriter

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
TINY = [
    "clips.crop_px=64",
    "clips.offsets=[0,1,2]",
    "warmup.epochs=1",
    "warmup.steps_per_epoch=1",
    "warmup.batch_clips=1",
    "joint.epochs=1",
    "joint.steps_per_epoch=1",
    "joint.batch_clips=1",
    "pseudo_masks.short_side_px=64",
    "precision=float32",
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "videos").mkdir()
    video, mask = tmp_path / "videos" / "v.mp4", np.zeros((48, 64), dtype=np.uint8)
    mask[10:30, 10:30] = 3
    with VideoWriter(video) as writer:
        for t in range(4):
            frame = np.full((48, 64, 3), 60, dtype=np.uint8)
            frame[10:30, 10 + 2 * t : 30 + 2 * t] = (220, 80, 40)
            writer.write(frame)
    write_mask(tmp_path / "mask.png", mask)
    return video, tmp_path / "mask.png"


def arguments(name, video, mask):
    return {
        "track_video": [video, mask],
        "correct_on_the_way": [video, mask, 2, mask],
        "train_and_track": [video.parent, mask.parent / "run", video, mask, *TINY],
    }[name]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_tells_of_every_frame(path, files, monkeypatch, capsys):
    assert len(path.read_text().splitlines()) <= 40
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments(path.stem, *files))])
    runpy.run_path(str(path), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3"]
