import json
import sys

import numpy as np
import pytest
from tests.tiny import write_video

from selfvos import cli
from selfvos.api import Project
from selfvos.data.mask_png import write_mask
from selfvos.formats.base import FORMATS


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process; returns exit status, standard output, standard error."""

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["selfvos", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return go


@pytest.fixture
def masks(tmp_path):
    for t in range(3):
        ids = np.zeros((8, 9), np.uint8)
        ids[2:5, t : t + 4], ids[7, 8] = 2, 5
        write_mask(tmp_path / "pond" / f"{t:05d}.png", ids)
    return tmp_path / "pond"


def test_one_format_goes_to_a_file_and_comes_back(run, masks, tmp_path):
    status, out, _ = run("export", masks, "--to", "coco", "--out", tmp_path / "a.json")
    assert status == 0
    assert out.startswith(f"coco: {tmp_path}/a.json holds 2 objects in 3 frames (")
    status, out, _ = run("import", tmp_path / "a.json", "--out", tmp_path / "track", "--json")
    assert status == 0
    assert json.loads(out) == {"track": str(tmp_path / "track"), "frames": 3, "objects": [2, 5]}
    for t in range(3):
        name = f"{t:05d}.png"
        assert (tmp_path / "track" / "masks" / name).read_bytes() == (masks / name).read_bytes()


def test_several_formats_go_to_a_folder(run, masks, tmp_path):
    command = ("export", masks, "--to", "csv", "--to", "davis", "--object", 5, "--out", tmp_path / "out", "--json")
    status, out, _ = run(*command)
    assert status == 0
    assert [one["path"] for one in json.loads(out)] == [str(tmp_path / "out" / name) for name in ("csv.csv", "davis")]
    assert (tmp_path / "out" / "csv.csv").read_text().count("\n") == 4
    status, _, err = run(*command)
    assert status == 2
    assert "csv.csv is there already" in err
    assert run(*command, "--overwrite")[0] == 0


def test_nothing_is_written_where_one_of_several_cannot_be(run, masks, tmp_path):
    status, _, err = run("export", masks, "--to", "csv", "--to", "overlay", "--out", tmp_path / "out")
    assert status == 2
    assert err.count("\n") == 1
    assert "overlay shows the frames of the video; say where it is (--video)" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--to", "csv", "--to", "csv"), "--to names csv twice"),
        (("--to", "cvs"), "unknown format 'cvs'; did you mean 'csv'?"),
        (("--to", "coco"), "coco is written as .json"),
    ],
)
def test_wrong_usage_is_one_line(run, masks, tmp_path, arguments, says):
    status, _, err = run("export", masks, *arguments, "--out", tmp_path / "out")
    assert status == 2
    assert err.count("\n") == 1
    assert says in err


def test_the_formats_are_listed(run):
    status, out, _ = run("list", "formats")
    assert status == 0
    assert out.splitlines()[0].startswith("coco ")
    assert [line.split()[0] for line in out.splitlines()] == FORMATS.names()
    assert "crw" in run("list", "checkpoints")[1]


@pytest.mark.parametrize("command", ["export", "import"])
def test_help_has_an_example(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0
    assert f"selfvos {command} " in out


def test_an_import_becomes_a_project(run, masks, tmp_path):
    video = write_video(tmp_path / "pond.mp4", [np.zeros((8, 10, 3), np.uint8)] * 3)
    status, _, err = run("import", masks, "--project", "--out", tmp_path / "project")
    assert (status, "--video" in err, err.count("\n")) == (2, True, 1)
    status, _, err = run("import", masks, "--project", "--video", video, "--out", tmp_path / "project")
    assert (status, "8x9" in err, err.count("\n")) == (3, True, 1), err
    wide = tmp_path / "wide"
    for t in range(3):
        write_mask(wide / f"{t:05d}.png", np.full((8, 10), 2, np.uint8))
    status, out, err = run("import", wide, "--project", "--video", video, "--out", tmp_path / "project")
    assert (status, "holds 1 object in 3 frames" in out) == (0, True), err
    with Project.open(tmp_path / "project") as project:
        assert project.keyframes == (0,)
