import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests import tiny
from tests.sending import free_port, sending

from selfvos import cli
from selfvos.data.mask_png import write_mask
from selfvos.data.source import read_image
from selfvos.data.track_reader import open_track

FAST = ["-w", "lab-patches", "--set", "frame.short_side_px=64", "--threads", "1"]


@pytest.fixture
def run(monkeypatch, capsys):
    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["selfvos", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return go


@pytest.fixture
def port():
    return free_port()


def still(t):
    return tiny.picture(2)


def test_from_a_frame_to_draw_on_to_tracks(run, port, tmp_path):
    address = f"udp://127.0.0.1:{port}"
    with sending(port, still):
        status, text, err = run("info", address, "--frame", tmp_path / "first.png")
        assert status == 0, err
        assert "fps" in text
        assert np.abs(read_image(tmp_path / "first.png").astype(int) - still(0)).mean() < 12
        write_mask(tmp_path / "mask.png", tiny.truth(2))
        drawn = ["--mask", tmp_path / "mask.png", "--drawn-on", tmp_path / "first.png"]
        status, text, err = run("track", address, *drawn, "--out", tmp_path / "out", "--to", "3", "--json", *FAST)
    assert status == 0, err
    facts = json.loads(text)
    assert (facts["frames"], facts["objects"], facts["ended"]) == (4, [1], "as asked")
    (place,) = facts["segments"]
    assert open_track(place).done


def test_ctrl_c_ends_it_well(port, tmp_path):
    write_mask(tmp_path / "mask.png", tiny.truth(2))
    arguments = ["track", f"udp://127.0.0.1:{port}", "--mask", tmp_path / "mask.png", "--out", tmp_path / "out", *FAST]
    with sending(port, still):
        process = subprocess.Popen(
            [sys.executable, "-c", "from selfvos.cli import main; main()", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            deadline = time.monotonic() + 90
            while len(list(tmp_path.glob("out/*/masks/0*.png"))) < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert "tracked 1 object" in out
    assert open_track(tmp_path / "out" / "segment-00000").done


def test_silence_is_told_and_what_came_before_is_kept(run, port, tmp_path):
    write_mask(tmp_path / "mask.png", tiny.truth(2))
    place = ["--mask", tmp_path / "mask.png", "--out", tmp_path / "out", "--silence", "1.5"]
    with sending(port, still, count=100):
        status, out, err = run("track", f"udp://127.0.0.1:{port}", *place, *FAST)
    assert (status, "tracked 1 object" in out) == (3, True), err
    assert "no frame for 1.5 s" in err
    assert open_track(tmp_path / "out" / "segment-00000").done


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--backward"], "--backward means nothing"),
        (["--mask-dir", "x"], "--mask-dir means nothing"),
        (["other.mp4"], "a second video means nothing"),
        (["--mask", "m.png@5"], "a mask of a later frame means nothing"),
        (["--overwrite"], "--overwrite means nothing"),
        ([], "info 0 --frame"),
    ],
)
def test_what_means_nothing_for_a_live_source_is_refused(run, tmp_path, options, words):
    status, _, err = run("track", "rtsp://127.0.0.1/x", *options, "--out", tmp_path / "out")
    assert (status, words in err, err.count("\n")) == (2, True, 1), err
    assert not (tmp_path / "out").exists()


def test_a_camera_that_is_not_there(run, tmp_path):
    write_mask(tmp_path / "mask.png", tiny.truth(2))
    status, _, err = run("track", "97", "--mask", tmp_path / "mask.png", "--out", tmp_path / "out", *FAST)
    assert (status, "camera 97" in err, err.count("\n")) == (3, True, 1), err


def test_a_frame_of_a_file_to_draw_on(run, tmp_path):
    video = tiny.write_video(tmp_path / "v.mp4", map(tiny.picture, range(4)))
    status, text, err = run("info", video, "--frame", f"{tmp_path / 'f.png'}@2")
    assert (status, f"frame: {tmp_path / 'f.png'}" in text) == (0, True), err
    assert np.abs(read_image(tmp_path / "f.png").astype(int) - tiny.picture(2)).mean() < 8
