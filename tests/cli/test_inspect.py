import json
import sys

import numpy as np
import pytest
from PIL import Image

from selfvos import cli
from selfvos.api import inspection
from selfvos.data.video_writer import VideoWriter


@pytest.fixture
def run(monkeypatch, capsys):
    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["selfvos", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return go


def test_info_tells_what_a_video_is(run, tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", fps=12.0) as video:
        for _ in range(6):
            video.write(np.zeros((48, 64, 3), np.uint8))
    status, text, _ = run("info", tmp_path / "clip.mp4", "--json")
    facts = json.loads(text)
    assert status == 0
    assert (facts["name"], facts["height"], facts["width"], facts["frames"]) == ("clip", 48, 64, 6)
    assert (facts["fps"], facts["seconds"], facts["rotation"], facts["sound"]) == (12.0, 0.5, 0, "")
    assert (facts["codec"], facts["pixel_format"], facts["pixel_aspect"]) == ("h264", "yuv420p", "1")
    text = run("info", tmp_path / "clip.mp4")[1]
    assert "sound         none" in text


def test_info_of_a_folder_and_of_nothing(run, tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "0.png")
    facts = json.loads(run("info", tmp_path, "--fps", "5", "--json")[1])
    assert (facts["kind"], facts["frames"], facts["fps"], facts["seconds"]) == ("folder of pictures", 1, 5.0, 0.2)
    status, _, err = run("info", tmp_path / "missing.mp4")
    assert (status, err.count("\n")) == (2, 1)


def test_doctor_tries_what_is_needed_and_says_what_mends_it(run, monkeypatch):
    def nothing():
        raise inspection.SelfvosError("gone")

    monkeypatch.setattr(inspection, "demo_clip", nothing)
    status, text, _ = run("doctor", "--json")
    found = {finding["what"]: finding for finding in json.loads(text)}
    assert status == 0
    assert found["tracking"]["state"] == "ok"
    assert (found["demo clip"]["state"], "selfvos[demo]" in found["demo clip"]["mend"]) == ("missing", True)

    monkeypatch.setattr(inspection, "load", lambda *_, **__: nothing())
    status, text, _ = run("doctor")
    assert status == 4
    assert "broken: gone; mend: pip" in text
