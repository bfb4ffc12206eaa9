import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfvos import cli
from selfvos.cli.follow import _missing, _report
from selfvos.data.mask_png import read_mask, write_mask
from selfvos.data.track_reader import open_track
from selfvos.data.video import VideoFile
from selfvos.data.video_writer import VideoWriter

COUNT = 6


def picture(t):
    rgb = np.full((48, 64, 3), (40, 120, 60), np.uint8)
    rgb[12:36, 4 + 4 * t : 20 + 4 * t] = (230, 40, 40)
    return rgb


def truth(t, value=1):
    mask = np.zeros((48, 64), np.uint8)
    mask[12:36, 4 + 4 * t : 20 + 4 * t] = value
    return mask


@pytest.fixture
def run(monkeypatch, capsys):
    def go(*arguments):
        fast = ["-w", "lab-patches", "--set", "frame.short_side_px=48", "--threads", "1"]
        monkeypatch.setattr(sys, "argv", ["selfvos", "track", *map(str, arguments), *fast])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return go


def film(path, count=COUNT):
    with VideoWriter(path, fps=12.0, crf=5) as writer:
        for t in range(count):
            writer.write(picture(t))
    return path


@pytest.fixture
def video(tmp_path):
    return film(tmp_path / "square.mp4")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def drawn(path, t, value=1):
    write_mask(path, truth(t, value))
    return path


def names(out):
    return [frame.index for frame in open_track(out).frames]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--mask", "M2@2"], [2, 3, 4, 5]),
        (["--mask", "M2@2", "--both"], [0, 1, 2, 3, 4, 5]),
        (["--mask", "M4@4", "--backward"], [0, 1, 2, 3, 4]),
        (["--mask", "M4", "--from", "4", "--to", "2", "--backward"], [2, 3, 4]),
        (["--mask", "M1", "--from", "1", "--to", "3"], [1, 2, 3]),
        (["--mask", "M0", "--mask", "M3@3"], [0, 1, 2, 3, 4, 5]),
    ],
)
def test_from_any_frame_in_any_direction(run, video, out, tmp_path, options, expected):
    for t in range(COUNT):
        drawn(tmp_path / f"M{t}.png", t)
    options = [text.replace("M", f"{tmp_path}/M", 1).replace("@", ".png@") if "M" in text else text for text in options]
    options = [text + ".png" if "/M" in text and "@" not in text else text for text in options]
    status, text, err = run(video, "--out", out, "--json", *options)
    assert status == 0, err
    assert json.loads(text)["frames"] == len(expected)
    assert names(out) == expected
    assert len(list(VideoFile(out / "overlay.mp4"))) == len(expected)
    for place, index in enumerate(expected):
        found, true = open_track(out).mask(place) == 1, truth(index) > 0
        assert (found & true).sum() / (found | true).sum() > 0.6


def test_a_white_mask_is_a_new_object_unless_its_id_is_given(run, video, out, tmp_path, caplog):
    Image.fromarray(truth(0, 255)).save(tmp_path / "one.png")
    late = np.zeros((48, 64), np.uint8)
    late[40:46, 50:60] = 255
    Image.fromarray(late).save(tmp_path / "two.png")
    status, _, _ = run(video, "--mask", tmp_path / "one.png", "--mask", f"{tmp_path}/two.png@3", "--out", out)
    assert (status, "new object, 2" in caplog.text) == (0, True)
    caplog.clear()
    assert set(np.unique(read_mask(out / "masks" / "00003.png"))) == {0, 1, 2}
    masks = ["--mask", f"{tmp_path}/one.png=5", "--mask", f"{tmp_path}/two.png@3=9"]
    status, _, err = run(video, *masks, "--out", out, "--overwrite")
    assert (status, err, caplog.text) == (0, "", "")
    assert set(np.unique(read_mask(out / "masks" / "00003.png"))) == {0, 5, 9}


def test_a_typo_in_a_later_mask_is_told_before_the_first_frame(run, video, out, tmp_path):
    first = drawn(tmp_path / "first.png", 0)
    for later, status in (("typo.png@5", 2), (f"{first}@6", 3), (f"{first}@2=0", 2)):
        assert run(video, "--mask", first, "--mask", later, "--out", out)[0] == status
        assert not out.exists()


def test_an_old_track_stays_unless_overwritten(run, video, out, tmp_path):
    first = drawn(tmp_path / "first.png", 0)
    assert run(video, "--mask", first, "--out", out)[0] == 0
    status, _, err = run(film(tmp_path / "short.mp4", 2), "--mask", first, "--out", out)
    assert (status, "--overwrite" in err, err.count("\n")) == (2, True, 1)
    assert run(tmp_path / "short.mp4", "--mask", first, "--out", out, "--overwrite")[0] == 0
    assert names(out) == [0, 1]
    assert len(list((out / "masks").iterdir())) == 2


def test_several_videos_get_a_folder_each(run, out, tmp_path):
    masks = tmp_path / "first"
    videos = [film(tmp_path / "a.mp4"), film(tmp_path / "b.mp4", 3), film(tmp_path / "c.mp4")]
    for video in videos:
        drawn(masks / f"{video.stem}.png", 0)
    status, text, err = run(*videos, "--mask-dir", masks, "--out", out, "--json")
    assert status == 0, err
    assert [facts["frames"] for facts in json.loads(text)["videos"]] == [6, 3, 6]
    assert all(open_track(out / name).done for name in "abc")
    (masks / "c.png").unlink()
    status, _, err = run(*videos, "--mask-dir", masks, "--out", tmp_path / "again")
    assert (status, "c.png" in err) == (2, True)
    assert not (tmp_path / "again").exists(), "all are looked at before the first is tracked"


def test_a_broken_video_does_not_keep_the_others_from_being_tracked(run, out, tmp_path):
    for name in ("a", "b"):
        drawn(tmp_path / "first" / f"{name}.png", 0)
    (tmp_path / "a").mkdir()
    for t in range(3):
        Image.fromarray(picture(t)).save(tmp_path / "a" / f"{t}.png")
    Image.fromarray(picture(2)[:30]).save(tmp_path / "a" / "2.png")
    status, text, err = run(tmp_path / "a", film(tmp_path / "b.mp4"), "--mask-dir", tmp_path / "first", "--out", out)
    assert (status, "1 of 2 videos" in err, "2.png" in err) == (3, True, True)
    assert "through 6 frames" in text
    assert (open_track(out / "a").done, open_track(out / "b").done) == (False, True)
    assert names(out / "a") == [0, 1]


def test_pictures_take_the_rate_that_is_asked_for(run, out, tmp_path):
    (tmp_path / "frames").mkdir()
    for t in range(3):
        Image.fromarray(picture(t)).save(tmp_path / "frames" / f"{t}.png")
    run(tmp_path / "frames", "--mask", drawn(tmp_path / "first.png", 0), "--out", out, "--fps", "5")
    assert (open_track(out).fps, VideoFile(out / "overlay.mp4").fps) == (5.0, 5.0)


def test_without_a_mask_what_is_found_is_followed(run, video, out):
    status, _, err = run(video, "--discover", "--out", out)
    assert status == 0
    assert "objects found in frame 0" in err
    track = open_track(out)
    assert len(track.frames) == COUNT
    first = read_mask(out / "given" / "00000.png")
    assert max(((first == i) & (truth(0) > 0)).sum() / (truth(0) > 0).sum() for i in np.unique(first) if i) > 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give the masks"),
        (["--mask", "M", "--mask-dir", "D"], "one of the three"),
        (["--mask", "M", "--backward"], "from which frame"),
        (["--discover", "--backward"], "from which frame"),
        (["--discover", "--mask", "M"], "one of the three"),
        (["--mask", "M@2", "--backward", "--both"], "exclude"),
        (["--mask", "M@2", "--mask", "M@2"], "two masks for frame 2"),
        (["--mask", "M", "--from", "3", "--to", "1"], "swap"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(run, video, out, tmp_path, options, words):
    first = str(drawn(tmp_path / "first.png", 0))
    options = [text.replace("M", first) if text[0] == "M" else text for text in options]
    status, _, err = run(video, "--out", out, *options)
    assert (status, words in err, err.count("\n")) == (2, True, 1), err
    assert not out.exists()


def test_the_summary_of_200_objects_fits_a_screen(capsys):
    facts = {
        "objects": list(range(1, 201)),
        "frames": 12,
        "seconds": 3.0,
        "frames_per_second": 4.0,
        "lost_frames": {str(i): i % 7 + 1 for i in range(1, 201)},
        "folder": "out",
    }
    _report([facts], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert _missing(facts) == "200 objects were not found in some frames, most of all 6 (7), 13 (7), 20 (7)\n"
    assert _missing({"lost_frames": {"3": 2, "4": 1}}) == (
        "object 3 was not found in 2 frames\nobject 4 was not found in 1 frame\n"
    )
    long = {"objects": [1], "frames": 123456, "seconds": 12345.6, "frames_per_second": 10.0, "lost_frames": {}}
    _report([facts | long], as_json=False)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_track_is_exported_as_well(video, run, out, tmp_path):
    mask = drawn(tmp_path / "m.png", 0)
    status, _, text = run(video, "--mask", mask, "--out", out, "--export", "csv,nothing")
    assert status == 2
    assert "nothing" in text
    assert not out.exists()
    status, _, text = run(video, "--mask", mask, "--out", out, "--export", "csv, coco")
    assert status == 0, text
    assert {path.name for path in (tmp_path / "out-exports").iterdir()} == {"csv.csv", "coco.json"}
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["done", "given", "masks", "overlay.mp4", "states.jsonl", "track.json"]
    )


def test_matches_are_drawn_and_told(monkeypatch, capsys, tmp_path):
    for t in range(COUNT):
        (tmp_path / "clip").mkdir(exist_ok=True)
        Image.fromarray(picture(t)).save(tmp_path / "clip" / f"{t}.png")
    write_mask(tmp_path / "first.png", truth(0, 7))

    def run(*more):
        fast = ["-w", "lab-patches", "--set", "frame.short_side_px=48", "--out", tmp_path / "matches.png"]
        arguments = ["matches", tmp_path / "clip", "--mask", tmp_path / "first.png", *fast, *more]
        monkeypatch.setattr(sys, "argv", ["selfvos", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        return exit_.value.code, *capsys.readouterr()

    status, text, err = run("--frame", 3, "--at", "24,20", "--json")
    assert status == 0, err
    told = json.loads(text)
    assert told["object"] == 7
    assert sum(one["weight"] for one in told["memory"]) == pytest.approx(1, abs=1e-3)
    assert Image.open(told["picture"]).width > 64
    status, text, _ = run("--frame", 3, "--at", "24,20")
    assert (status, text.count("\n")) == (0, 2)
    assert text.startswith("object 7: ")
    for wrong in (("--frame", 3, "--at", "24"), ("--frame", 99, "--at", "1,1"), ("--frame", 0, "--at", "1,1")):
        status, _, err = run(*wrong)
        assert (status, err.count("\n")) == (2, 1), err


def test_a_list_names_videos_as_seen_from_its_folder(run, tmp_path):
    for folder in ("shots", "first"):
        (tmp_path / folder).mkdir()
    for name in ("one", "two"):
        with VideoWriter(tmp_path / "shots" / f"{name}.mp4", fps=12.0, crf=5) as writer:
            for t in range(3):
                writer.write(picture(t))
        write_mask(tmp_path / "first" / f"{name}.png", truth(0))
    listed = tmp_path / "shots" / "list.txt"
    listed.write_text("\ufeff# two of them\none.mp4\n\n  two.mp4  \n", encoding="utf-8")
    status, text, err = run(f"@{listed}", "--mask-dir", tmp_path / "first", "--out", tmp_path / "out", "--json")
    assert status == 0, err
    assert [Path(one["folder"]).name for one in json.loads(text)["videos"]] == ["one", "two"]
    listed.write_text("# none\n")
    for wrong, words in ((f"@{listed}", "names no video"), ("@none.txt", "write ./@none.txt")):
        status, _, err = run(wrong, "--mask-dir", tmp_path / "first", "--out", tmp_path / "more")
        assert (status, err.count("\n")) == (2, 1)
        assert words in err
