import runpy
import sys
from pathlib import Path

import pytest
from tests import tiny

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
FRAMES = 3


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "videos").mkdir()
    video = tiny.write_video(tmp_path / "videos" / "v.mp4", map(tiny.picture, range(FRAMES)))
    tiny.write_mask(tmp_path / "mask.png", tiny.truth(0))
    return video, tmp_path / "mask.png"


def arguments(name, video, mask, backbone):
    settings = [f"model.backbone={backbone}", "clips.crop_px=64", *tiny.SMALL, *tiny.SHORT]
    return {
        "track_video": [video, mask],
        "correct_on_the_way": [video, mask, 1, mask],
        "train_and_track": [video.parent, mask.parent / "run", video, mask, *settings],
    }[name]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_tells_of_every_frame(path, files, tiny_resnet, monkeypatch, capsys):
    assert len(path.read_text().splitlines()) <= 40
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments(path.stem, *files, tiny_resnet))])
    runpy.run_path(str(path), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(t) for t in range(FRAMES)]
