import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from selfvos import cli
from selfvos.data.mask_png import read_mask, write_mask
from selfvos.data.video import VideoFile
from selfvos.data.video_writer import VideoWriter

SIDE = 64
COMMANDS = ["demo", "track", "train", "cluster", "evaluate", "score", "list"]


def picture(t):
    rgb = np.full((SIDE, 96, 3), (40, 120, 60), dtype=np.uint8)
    rgb[16:40, 8 + 4 * t : 32 + 4 * t] = (230, 40, 40)
    return rgb


def truth(t, value=1):
    mask = np.zeros((SIDE, 96), dtype=np.uint8)
    mask[16:40, 8 + 4 * t : 32 + 4 * t] = value
    return mask


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
def video(tmp_path):
    path = tmp_path / "square.mp4"
    with VideoWriter(path, fps=12.0, crf=5) as writer:
        for t in range(6):
            writer.write(picture(t))
    return path


@pytest.fixture
def mask(tmp_path):
    write_mask(tmp_path / "first.png", truth(0, 7))
    return tmp_path / "first.png"


def davis(root):
    """Two sequences in the layout of DAVIS 2016."""
    for name in ("alpha", "beta"):
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / "480p" / name).mkdir(parents=True)
        for t in range(5):
            Image.fromarray(picture(t)).save(root / "JPEGImages" / "480p" / name / f"{t:05d}.jpg", quality=95)
            Image.fromarray(truth(t, 255)).save(root / "Annotations" / "480p" / name / f"{t:05d}.png")
    lists = root / "ImageSets" / "2016"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("alpha\nbeta\n")
    return root


def track(run, video, mask, out, *more):
    return run(
        "track", video, "--mask", mask, "--out", out, "-w", "lab-patches", "--set", "frame.short_side_px=64", *more
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run, command):
    status, text, _ = run(command, "--help")
    assert status == 0
    assert f"selfvos {command}" in text.partition("Example:")[2]


def test_track_writes_masks_and_an_overlay_at_the_videos_rate(run, video, mask, tmp_path):
    status, text, _ = track(run, video, mask, tmp_path / "out", "--json")
    assert status == 0
    facts = json.loads(text)
    assert (facts["frames"], facts["objects"], facts["lost_frames"]) == (6, [7], {})
    names = sorted(path.name for path in (tmp_path / "out" / "masks").iterdir())
    assert names == [f"{t:05d}.png" for t in range(6)]
    result = read_mask(tmp_path / "out" / "masks" / "00005.png") == 7
    assert (result & (truth(5) > 0)).sum() / (result | (truth(5) > 0)).sum() > 0.7
    overlay = VideoFile(facts["overlay"])
    assert overlay.fps == pytest.approx(12.0)
    assert len(list(overlay)) == 6


def test_track_tells_what_happened_in_a_line(run, video, mask, tmp_path):
    status, text, _ = track(run, video, mask, tmp_path / "out")
    assert status == 0
    assert text.startswith("tracked 1 object through 6 frames")
    assert "overlay.mp4" in text


def test_masks_keep_the_names_of_a_folders_frames(run, mask, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for t, name in enumerate(("shot_2", "shot_9", "shot_10")):
        Image.fromarray(picture(t)).save(folder / f"{name}.png")
    assert track(run, folder, mask, tmp_path / "out")[0] == 0
    names = {path.name for path in (tmp_path / "out" / "masks").iterdir()}
    assert names == {"shot_2.png", "shot_9.png", "shot_10.png"}


def test_a_second_mask_brings_in_an_object(run, video, mask, tmp_path):
    late = np.zeros((SIDE, 96), dtype=np.uint8)
    late[48:60, 70:90] = 9
    write_mask(tmp_path / "late.png", late)
    status, text, _ = track(run, video, mask, tmp_path / "out", "--mask", f"{tmp_path / 'late.png'}@3", "--json")
    assert status == 0
    assert json.loads(text)["objects"] == [7, 9]
    assert set(np.unique(read_mask(tmp_path / "out" / "masks" / "00003.png"))) == {0, 7, 9}


def test_evaluate_and_score_agree(run, tmp_path):
    root = davis(tmp_path / "DAVIS")
    settings = ["--root", root, "--set", "frame.short_side_px=64", "--json", "--overlays"]
    status, text, err = run("evaluate", "lab-patches", "davis-2016-val", "--out", tmp_path / "out", *settings)
    assert status == 0, err
    report = json.loads(text)
    assert 0.7 < report["J-Mean"] <= 1
    assert set(report["per_sequence"]) == {"alpha_1", "beta_1"}
    assert "2 of 20" in report["note"]
    assert len(report["provenance"]["weights"]) == 64
    assert (tmp_path / "out" / "global_results-val.csv").read_text().startswith("J&F-Mean,J-Mean,J-Recall,J-Decay")
    assert (tmp_path / "out" / "overlays" / "alpha.mp4").stat().st_size > 0
    status, text, _ = run("score", tmp_path / "out" / "masks", "davis-2016-val", "--root", root, "--json")
    assert status == 0
    assert json.loads(text)["J&F-Mean"] == report["J&F-Mean"]
    status, text, _ = run("score", tmp_path / "out" / "masks", "davis-2016-val", "--root", root)
    assert "alpha_1" in text


@pytest.mark.parametrize("preset", ["uvc", "mast"])
def test_evaluate_with_the_settings_of_a_published_method(run, tmp_path, preset):
    root = davis(tmp_path / "DAVIS")
    settings = ["--preset", preset, "--set", "feature.stage=patch", "--set", "frame.short_side_px=64"]
    arguments = ["evaluate", "lab-patches", "davis-2016-val", "--root", root, "--out", tmp_path / "out"]
    status, _, err = run(*arguments, *settings)
    assert status == 0, err
    report = (tmp_path / "out" / "report.json").read_text()
    provenance = json.loads(report, parse_constant=pytest.fail)["provenance"]  # Infinity is no JSON
    assert provenance["track.feature.unit_length"] == "False"
    assert provenance["track.labels.down"] == {"uvc": "nearest", "mast": "subsample"}[preset]
    status, _, err = run(*arguments, "--preset", preset)
    assert status == 2
    assert err.count("\n") == 1
    assert "unknown feature" in err


def test_settings_come_from_files_too(run, video, mask, tmp_path):
    (tmp_path / "run.toml").write_text("match.top_k = 3\nrefine.rounds = 0\n[frame]\nshort_side_px = 48\n")
    status, text, err = track(run, video, mask, tmp_path / "a", "--config", tmp_path / "run.toml", "--json")
    assert status == 0, err
    used = json.loads(text)["settings"]
    assert (used["match"]["top_k"], used["frame"]["short_side_px"]) == (3, 64)  # `track` sets that one
    again = ["--config", tmp_path / "a" / "track.json", "--set", "match.top_k=4", "--json"]
    status, text, err = track(run, video, mask, tmp_path / "b", *again)
    assert status == 0, err
    assert json.loads(text)["settings"] == {**used, "match": {**used["match"], "top_k": 4}}
    (tmp_path / "bad.yaml").write_text("joint: {epoch: 3}")
    common = ["--videos", tmp_path, "--out", tmp_path / "run", "--config", tmp_path / "bad.yaml"]
    status, _, err = run("train", "mask_vos_resnet18_tiny", *common)
    assert (status, err.count("\n")) == (2, 1)
    assert "did you mean 'epochs'" in err
    evaluate = [
        "evaluate",
        "lab-patches",
        "davis-2016-val",
        "--root",
        davis(tmp_path / "DAVIS"),
        "--out",
        tmp_path / "e",
    ]
    status, _, err = run(*evaluate, "--config", tmp_path / "run.toml")
    assert status == 0, err
    provenance = json.loads((tmp_path / "e" / "report.json").read_text())["provenance"]
    assert provenance["track.match.top_k"] == "3"


def test_list_knows_every_kind(run):
    for kind, name in {
        "recipes": "mask_vos_resnet18_tiny",
        "objectives": "l_long",
        "backbones": "resnet50",
        "benchmarks": "davis-2017-val",
        "presets": "crw",
        "systems": "stm",
        "weights": "default",
    }.items():
        status, text, _ = run("list", kind, "--json")
        assert status == 0
        assert json.loads(text)[name]
        assert name in run("list", kind)[1]
    assert run("list", "things")[0] == 2


def test_what_is_wrong_is_said_in_one_line(run, video, mask, tmp_path):
    write_mask(tmp_path / "small.png", truth(0)[:30])
    write_mask(tmp_path / "none.png", np.zeros((SIDE, 96), dtype=np.uint8))
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (SIDE, 96, 3), dtype=np.uint8)).save(tmp_path / "rgb.png")
    (tmp_path / "zero.mp4").write_bytes(b"")
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:200])
    (tmp_path / "empty").mkdir()
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    cases = [
        (3, ["mask", "30x96", "64x96"], (video, tmp_path / "small.png")),
        (3, ["none.png", "empty"], (video, tmp_path / "none.png")),
        (3, ["rgb.png", "ids"], (video, tmp_path / "rgb.png")),
        (3, ["zero.mp4"], (tmp_path / "zero.mp4", mask)),
        (3, ["cut.mp4"], (tmp_path / "cut.mp4", mask)),
        (3, ["empty"], (tmp_path / "empty", mask)),
        (2, ["missing.mp4"], (tmp_path / "missing.mp4", mask)),
        (2, ["missing.png"], (video, tmp_path / "missing.png")),
    ]
    for expected, words, (movie, first) in cases:
        status, out, err = track(run, movie, first, tmp_path / "out")
        assert (status, out) == (expected, ""), err
        assert err.count("\n") == 1, err
        assert all(word in err for word in words), err
        assert not list((tmp_path / "out").glob("**/*.*")), "something was left behind"
    more = {
        ("-w", "nothing"): (2, "nothing"),
        ("-w", tmp_path / "junk.safetensors"): (3, "junk.safetensors"),
        ("--set", "match.topk=3"): (2, "did you mean 'top_k'"),
        ("--set", "refine.rounds=-1"): (2, "rounds"),
        ("--preset", "crv"): (2, "crw"),
        ("--device", "abacus"): (2, "abacus"),
    }
    for extra, (expected, word) in more.items():
        status, _, err = track(run, video, mask, tmp_path / "out", *extra)
        assert status == expected, err
        assert word in err
        assert err.count("\n") == 1


def test_train_refuses_unknown_recipes_and_fields_and_empty_folders(run, tmp_path):
    (tmp_path / "videos").mkdir()
    common = ["--videos", tmp_path / "videos", "--out", tmp_path / "run", "--cache", tmp_path / "cache"]
    status, _, err = run("train", "mask_vos_resnet81", *common)
    assert (status, "did you mean 'mask_vos_resnet18'" in err) == (2, True)
    status, _, err = run("train", "mask_vos_resnet18_tiny", *common, "--set", "joint.epoch=3")
    assert (status, "did you mean 'epochs'" in err) == (2, True)
    status, _, err = run("train", "mask_vos_resnet18_tiny", *common)
    assert status == 3
    assert "videos" in err
    assert not (tmp_path / "run").exists()


def test_a_full_disk_ends_with_status_4_and_leaves_no_half_file(run, video, mask, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = track(run, video, mask, tmp_path / "out", "--set", "match.top_k=3")
    assert status == 4
    assert "disk full" in err
    assert not list((tmp_path / "out").rglob("*.*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_frames_so_far(mask, tmp_path, number):
    movie = tmp_path / "long.mp4"
    with VideoWriter(movie, fps=12.0) as writer:
        for t in range(400):
            writer.write(picture(t % 10))
    out = tmp_path / "out"
    code = "from selfvos.cli import main; main()"
    arguments = ["track", movie, "--mask", mask, "--out", out, "-w", "lab-patches"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background lets them ignore Ctrl-C, and so all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(out.glob("masks/0*.png"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number, err
    assert err.strip() == "selfvos: stopped; what was finished before is kept"
    written = len(list(out.glob("masks/*.png")))
    assert 5 <= written < 400
    assert len(list(VideoFile(out / "overlay.mp4"))) == written
    assert not (out / "done").exists()
    assert json.loads((out / "track.json").read_text())["tracked"]["frames"] == written


def test_a_traceback_is_shown_only_when_asked_for(run, mask, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["selfvos", "--debug", "list", "things"])
    with pytest.raises(ValueError, match="nothing is called"):
        cli.main()
