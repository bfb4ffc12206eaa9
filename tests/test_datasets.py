import json
import shutil
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from selfvos import api, cli
from selfvos.data.benchmarks import davis, jhmdb, vip, youtube_vos
from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.data.benchmarks.davis import Size
from selfvos.data.benchmarks.stored_ids import read_ids
from selfvos.data.mask_png import write_mask
from selfvos.errors import DataError, UsageError
from selfvos.evaluation.report import Report
from selfvos.settings import override
from selfvos.types import Watching

HEIGHT, WIDTH, STEPS = 48, 64, 6
FIRST = {3: 1, 8: 3}
"""Step at which each object appears."""


def picture(t):
    rgb = np.full((HEIGHT, WIDTH, 3), (40, 120, 60), np.uint8)
    rgb[6:22, 4 + 2 * t : 24 + 2 * t] = (230, 40, 40)
    if t >= FIRST[8]:
        rgb[28:44, 30:50] = (40, 60, 230)
    return rgb


def truth(t, *ids):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if 3 in ids:
        mask[6:22, 4 + 2 * t : 24 + 2 * t] = 3
    if 8 in ids and t >= FIRST[8]:
        mask[28:44, 30:50] = 8
    return mask


def save_picture(path, t):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(t)).save(path, quality=95)


def youtube(root):
    """One video of 6 pictures at 6 fps in the layout of valid; object 3 is given in the second, 8 in the fourth."""
    for t in range(STEPS):
        save_picture(root / "valid" / "JPEGImages" / "vid" / f"{5 * t:05d}.jpg", t)
    for id, t in FIRST.items():
        write_mask(root / "valid" / "Annotations" / "vid" / f"{5 * t:05d}.png", truth(t, id))
    objects = {str(id): {"frames": [f"{5 * t:05d}" for t in range(first, STEPS)]} for id, first in FIRST.items()}
    (root / "valid" / "meta.json").write_text(json.dumps({"videos": {"vid": {"objects": objects}}}))
    return root


def test_dev(root):
    """DAVIS test-dev with one sequence, whose first frame alone has a mask."""
    for t in range(4):
        save_picture(root / "JPEGImages" / "480p" / "deer" / f"{t:05d}.jpg", t)
    write_mask(root / "Annotations" / "480p" / "deer" / "00000.png", (truth(0, 3) > 0).astype(np.uint8))
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "test-dev.txt").write_text("deer\n")
    return root


test_dev.__test__ = False


def own(root):
    """One video of one's own in a folder, with masks on three of its frames."""
    for t in range(STEPS):
        save_picture(root / "frames" / "clip" / f"{t}.jpg", t)
    for t in (0, 3, 5):
        write_mask(root / "masks" / "clip" / f"{t}.png", truth(t, 3, 8))
    return root


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
def evaluate(run):
    def go(benchmark, root, out, *more):
        small = ["--set", f"frame.short_side_px={HEIGHT}"]
        return run("evaluate", "lab-patches", benchmark, "--root", root, "--out", out, *small, *more)

    return go


@pytest.mark.parametrize("command", ["check", "pack", "validate"])
def test_every_command_has_help_with_an_example(run, command):
    status, text, _ = run("data", command, "--help")
    assert status == 0
    assert f"selfvos data {command}" in text.partition("Example:")[2]


# --- Benchmarks that only a server scores. ---


def test_youtube_vos_becomes_an_archive_that_is_valid(evaluate, run, tmp_path):
    root, out = youtube(tmp_path / "yt"), tmp_path / "out"
    status, text, err = evaluate("youtube-vos-2019-valid", root, out)
    assert (status, err) == (0, "")
    archive = out / "youtube-vos-2019-valid.zip"
    assert f"{archive} holds 5 masks of 1 videos, all validated; only the official server" in text
    assert "every fifth frame tracked (6 fps)" in text
    assert text.count("\n") == 1
    with zipfile.ZipFile(archive) as content:
        assert content.namelist() == [f"Annotations/vid/{5 * t:05d}.png" for t in range(1, STEPS)]
    status, text, _ = run("data", "validate", archive, "youtube-vos-2019-valid", "--root", root, "--json")
    assert status == 0
    assert json.loads(text)["frames"] == 5
    provenance = json.loads((out / "report.json").read_text())["provenance"]
    assert provenance["track.frame.short_side_px"] == str(HEIGHT)


def test_objects_are_followed_from_the_frame_that_gives_them(evaluate, tmp_path):
    evaluate("youtube-vos-2019-valid", youtube(tmp_path / "yt"), tmp_path / "out")
    masks = tmp_path / "out" / "masks" / "vid"
    assert sorted(path.name for path in masks.iterdir()) == [f"{5 * t:05d}.png" for t in range(1, STEPS)]
    for t in range(1, STEPS):
        ids = read_ids(masks / f"{5 * t:05d}.png")
        assert set(np.unique(ids)) == ({0, 3} if t < FIRST[8] else {0, 3, 8})
        for id in set(np.unique(ids)) - {0}:
            found, true = ids == id, truth(t, 3, 8) == id
            assert (found & true).sum() / (found | true).sum() > 0.5


def test_all_frames_are_tracked_and_the_required_ones_written(evaluate, tmp_path):
    root = youtube(tmp_path / "yt")
    for i in range(5 * STEPS):
        save_picture(root / "valid_all_frames" / "JPEGImages" / "vid" / f"{i:05d}.jpg", i // 5)
    seen = []
    model = api.load("lab-patches", device="cpu")
    api.evaluate(
        model,
        "youtube-vos-2019-valid-all-frames",
        root=root,
        out=tmp_path / "out",
        config=override(api.track_config(model, None), [f"frame.short_side_px={HEIGHT}"]),
        watch=Watching(lambda what, done, total: seen.append((what, done, total))),
    )
    assert ("vid", 25, 25) in seen  # from the first given frame, 00005, to 00029
    masks = tmp_path / "out" / "masks" / "vid"
    assert sorted(path.name for path in masks.iterdir()) == [f"{5 * t:05d}.png" for t in range(1, STEPS)]


def test_test_dev_is_tracked_and_packed(evaluate, tmp_path):
    status, text, _ = evaluate("davis-2017-test-dev", test_dev(tmp_path / "davis"), tmp_path / "out", "--json")
    assert status == 0
    facts = json.loads(text)
    assert (facts["frames"], facts["validated"]) == (4, True)
    with zipfile.ZipFile(facts["path"]) as content:
        assert content.namelist() == [f"deer/{t:05d}.png" for t in range(4)]


def test_results_for_a_server_are_not_scored(run, tmp_path):
    root = test_dev(tmp_path / "davis")
    status, _, err = run("score", tmp_path, "davis-2017-test-dev", "--root", root)
    assert status == 3
    assert "only the official server has the true masks of davis-2017-test-dev: pack the results" in err


@pytest.fixture
def tracked(evaluate, tmp_path):
    """A data set, results, and their archive."""
    root, out = youtube(tmp_path / "yt"), tmp_path / "out"
    assert evaluate("youtube-vos-2018-valid", root, out)[0] == 0
    return root, out / "masks", out / "youtube-vos-2018-valid.zip"


def remove_a_frame(folder):
    (folder / "vid" / "00020.png").unlink()


def rename_an_id(folder):
    ids = read_ids(folder / "vid" / "00020.png")
    write_mask(folder / "vid" / "00020.png", np.where(ids == 8, np.uint8(2), ids))


def resize_a_mask(folder):
    write_mask(folder / "vid" / "00020.png", read_ids(folder / "vid" / "00020.png")[::2, ::2])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (remove_a_frame, "(1 of 5 frames missing)"),
        (rename_an_id, "holds label 2, vid has objects 3, 8"),
        (resize_a_mask, "is 24x32 (height x width), its annotation 48x64"),
    ],
)
def test_what_the_server_would_refuse_is_refused_here(run, tracked, tmp_path, spoil, words):
    root, masks, archive = tracked
    spoil(masks)
    new = tmp_path / "new.zip"
    status, _, err = run("data", "pack", masks, "youtube-vos-2018-valid", "--root", root, "--out", new)
    assert status == 3
    assert words in err
    assert f"{masks / 'vid' / '00020.png'}" in err
    assert err.count("\n") == 1
    assert not new.exists()

    # The same in an archive that someone else packed.
    with zipfile.ZipFile(archive) as good:
        good.extractall(tmp_path / "unpacked")
    spoil(tmp_path / "unpacked" / "Annotations")
    shutil.make_archive(str(tmp_path / "foreign"), "zip", tmp_path / "unpacked")
    status, _, err = run("data", "validate", tmp_path / "foreign.zip", "youtube-vos-2018-valid", "--root", root)
    assert status == 3
    assert words in err
    assert "Annotations/vid/00020.png" in err
    assert err.count("\n") == 1


def test_packing_says_where_the_archive_is(run, tracked, tmp_path):
    root, masks, archive = tracked
    new = tmp_path / "new.zip"
    status, text, _ = run("data", "pack", masks, "youtube-vos-2018-valid", "--root", root, "--out", new)
    assert status == 0
    assert f"{new} holds 5 masks" in text
    assert new.read_bytes() == archive.read_bytes()
    status, _, err = run("data", "pack", masks, "davis-2017-val", "--root", root, "--out", new)
    assert (status, "give the DAVIS folder" in err) == (3, True)


# --- Old results. ---


def test_old_results_are_not_taken_for_new_ones(tracked, run, monkeypatch):
    root, masks, archive = tracked
    write_mask(masks / "vid" / "00020.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    before = archive.read_bytes()
    more = ["--out", masks.parent, "--set", f"frame.short_side_px={HEIGHT}"]
    assert run("evaluate", "lab-patches", "youtube-vos-2018-valid", "--root", root, *more)[0] == 0
    assert read_ids(masks / "vid" / "00020.png").any()
    assert archive.read_bytes() == before


def test_a_run_that_breaks_off_leaves_no_older_results(tracked, evaluate, monkeypatch):
    root, masks, archive = tracked

    def broken(*arguments):
        raise DataError("broken")

    monkeypatch.setattr("selfvos.api.tasks.mask_following.read_tracked", broken)
    assert evaluate("youtube-vos-2018-valid", root, masks.parent)[0] == 3
    assert not archive.exists()
    assert not (masks.parent / "report.json").exists()
    assert list(masks.rglob("*.png")) == []


def test_true_masks_are_not_replaced(evaluate, tmp_path):
    root = own(tmp_path / "own")
    before = {path: path.read_bytes() for path in root.rglob("*.png")}
    status, _, err = evaluate("folder", root, root)
    assert status == 2
    assert f"{root / 'masks'} holds the true masks" in err
    assert {path: path.read_bytes() for path in root.rglob("*.png")} == before


def test_what_is_missing_is_told_before_anything_is_removed_or_tracked(tracked, evaluate):
    root, masks, archive = tracked
    (root / "valid" / "Annotations" / "vid" / "00015.png").unlink()
    status, _, err = evaluate("youtube-vos-2018-valid", root, masks.parent)
    assert status == 3
    assert "no annotation" in err
    assert archive.exists()


# --- Benchmarks that are scored here. ---


def test_ones_own_folder_is_tracked_and_scored(evaluate, tmp_path):
    status, text, _ = evaluate("folder", own(tmp_path / "own"), tmp_path / "out", "--json")
    assert status == 0
    report = json.loads(text)
    assert set(report["per_sequence"]) == {"clip_3", "clip_8"}
    assert report["J-Mean"] > 0.5
    assert report["objects"] == 2


def test_the_hold_out_is_scored_in_two_groups(tmp_path):
    videos = {f"v{i:02d}": f"kind{i}" for i in range(12)}
    for name in videos:
        for t in range(3):
            save_picture(tmp_path / "train" / "JPEGImages" / name / f"{5 * t:05d}.jpg", t)
            write_mask(tmp_path / "train" / "Annotations" / name / f"{5 * t:05d}.png", truth(t, 3))
    frames = ["00000", "00005", "00010"]
    meta = {name: {"objects": {"3": {"frames": frames, "category": kind}}} for name, kind in videos.items()}
    (tmp_path / "train" / "meta.json").write_text(json.dumps({"videos": meta}))
    results = tmp_path / "train" / "Annotations"
    report = api.score(results, "youtube-vos-train-holdout", root=tmp_path)
    assert isinstance(report, Report)
    assert report.overall == {"G": 1.0, "J_seen": 1.0, "F_seen": 1.0, "J_unseen": 1.0, "F_unseen": 1.0}
    assert report.note.startswith("YT-VOS train-holdout: 12 of 12 training videos, 10 of 12 categories unseen")
    assert report.frames == 24
    shutil.copytree(results, tmp_path / "results")
    for path in (tmp_path / "results").rglob("00010.png"):  # the last frame counts, the given one does not
        write_mask(path, np.zeros((HEIGHT, WIDTH), np.uint8))
        path.with_name("00000.png").unlink()
    report = api.score(tmp_path / "results", "youtube-vos-train-holdout", root=tmp_path)
    assert report.overall == {"G": 0.5, "J_seen": 0.5, "F_seen": 0.5, "J_unseen": 0.5, "F_unseen": 0.5}
    with pytest.raises(UsageError, match="no server takes results of youtube-vos-train-holdout"):
        api.pack_results(results, "youtube-vos-train-holdout", root=tmp_path, out=tmp_path / "x.zip")


# --- Points and body parts. ---


def joints(t):
    """Places of 15 joints on a textured picture that moves by (3, 1) pixels a frame."""
    j = np.arange(15)
    return np.stack([6.0 + j % 5 * 8 + 3 * t, 8.0 + j // 5 * 12 + t], axis=1)


def clips(root, names=("a", "b")):
    """Clips of JHMDB in class ``run``."""
    noise = np.random.default_rng(0).integers(0, 256, (14, 20, 3), np.uint8)
    wide = Image.fromarray(noise).resize((160, 112), Image.Resampling.BICUBIC)
    for name in names:
        folder = root / "joint_positions" / "run" / name
        folder.mkdir(parents=True)
        savemat(folder / "joint_positions.mat", {"pos_img": np.stack([joints(t).T for t in range(STEPS)], axis=2) + 1})
        (root / "Rename_Images" / "run" / name).mkdir(parents=True)
        for t in range(STEPS):
            moved = wide.crop((40 - 3 * t, 30 - t, 40 - 3 * t + WIDTH, 30 - t + HEIGHT))
            moved.save(root / "Rename_Images" / "run" / name / f"{t + 1:05d}.png")
    (root / "val.txt").write_text("".join(f"run/{name}\n" for name in names))
    return root


def people(root, names=("a", "b")):
    """Videos of VIP: hair is a square that moves, a coat one that comes late, one row is void."""
    for name in names:
        for t in range(STEPS):
            save_picture(root / "Images" / name / f"{t + 1:06d}.jpg", t)
            parts = np.where(truth(t, 3, 8) == 3, np.uint8(2), np.where(truth(t, 3, 8) == 8, np.uint8(6), np.uint8(0)))
            parts[-1] = 255
            write_mask(root / "Annotations" / "Category_ids" / name / f"{t + 1:06d}.png", parts)
    (root / "lists").mkdir()
    (root / "lists" / "val_videos.txt").write_text("".join(f"{name}\n" for name in names))
    return root


@pytest.mark.parametrize(("variant", "frames"), [("crw", 5), ("spa", 6)])
def test_joints_are_tracked_and_scored(run, tmp_path, variant, frames):
    root, out = clips(tmp_path / "jhmdb"), tmp_path / "out"
    more = ["--root", root, "--out", out, "--set", "match.top_k=1", "--json"]
    status, text, err = run("evaluate", "lab-patches", f"jhmdb-{variant}", *more)
    assert (status, err) == (0, "")
    report = json.loads(text)
    assert (report["objects"], report["frames"]) == (2, 2 * frames)
    assert 0.6 < report["PCK@0.1"] <= report["PCK@0.2"]
    assert report["PCK@0.2"] > 0.9
    assert report["per_sequence"]["a"] == report["per_sequence"]["b"]
    # What the protocol lays down holds, but for what the caller changed.
    settings = report["provenance"]
    assert (settings["track.frame.size_px"], settings["track.match.top_k"]) == ("[320, 320]", "1")
    assert settings["track.points.grid"] == {"crw": "cells", "spa": "pixels"}[variant]
    lines = (out / "points" / "a.csv").read_text().splitlines()
    assert lines[:2] == ["frame,joint,x,y", "00001,1,6,8"]
    assert len(lines) == 1 + 15 * STEPS
    status, again, _ = run("score", out / "points", f"jhmdb-{variant}", "--root", root, "--json")
    assert (status, json.loads(again)["PCK@0.1"]) == (0, report["PCK@0.1"])
    assert "2 videos, " in (out / "report.md").read_text()
    assert (out / "report.html").is_file()


def test_points_of_others_are_scored_and_compared(run, tmp_path):
    root = clips(tmp_path / "jhmdb")
    for method, shift in (("good", 0.0), ("bad", 30.0)):
        for name in "ab":
            rows = [
                f"{t + 1:05d},{j + 1}," + (f"{x + shift},{y}" if j else ",")
                for t in range(STEPS)
                for j, (x, y) in enumerate(joints(t))
            ]
            (tmp_path / method).mkdir(exist_ok=True)
            (tmp_path / method / f"{name}.csv").write_text("\n".join(["frame,joint,x,y", *rows]) + "\n")
    status, text, _ = run("score", tmp_path / "good", "jhmdb-crw", "--root", root, "--json")
    report = json.loads(text)
    assert (status, report["PCK@0.1"], report["neck@0.1"]) == (0, 1.0, None)  # a missing joint is no wrong one
    status, text, _ = run("score", tmp_path / "good", tmp_path / "bad", "jhmdb-crw", "--root", root, "--json")
    assert status == 0
    assert json.loads(text)["differences"]["bad"]["PCK@0.1"]["mean"] == -1.0
    (tmp_path / "good" / "b.csv").unlink()
    status, _, err = run("score", tmp_path / "good", "jhmdb-crw", "--root", root)
    assert (status, f"no result {tmp_path / 'good' / 'b.csv'}" in err) == (3, True)


@pytest.mark.parametrize("variant", ["uvc", "spa"])
def test_parts_are_tracked_and_scored(run, tmp_path, variant):
    root, out = people(tmp_path / "vip"), tmp_path / "out"
    more = ["--root", root, "--out", out, "--set", "frame.size_px=[96, 96]", "--json"]
    status, text, err = run("evaluate", "lab-patches", f"vip-{variant}", *more)
    assert (status, err) == (0, "")
    report = json.loads(text)
    assert (report["objects"], report["frames"]) == (2, 2 * STEPS)  # the given frame counts
    assert report["hair"] > 0.6
    assert report["coat"] == 0.0  # it comes after the first frame, which alone is given
    assert report["hat"] is None
    assert report["mIoU"] == pytest.approx((report["background"] + report["hair"]) / 3)
    assert set(report["per_sequence"]) == {"a", "b"}
    assert read_ids(out / "masks" / "a" / "000004.png").shape == (HEIGHT, WIDTH)
    assert (out / "report.html").is_file()


def test_parts_of_others_are_scored(tmp_path):
    root = people(tmp_path / "vip")
    results = tmp_path / "results"
    shutil.copytree(root / "Annotations" / "Category_ids", results)
    for path in results.rglob("*.png"):
        ids = read_ids(path)
        write_mask(path, np.where(ids == 255, np.uint8(7), ids))  # whatever lies on void is not looked at
    report = api.score(results, "vip-crw", root=root)
    assert isinstance(report, Report)
    assert [report.overall[name] for name in ("mIoU", "background", "hair", "coat")] == [1.0] * 4
    assert np.isnan(report.overall["socks"])
    write_mask(results / "a" / "000002.png", np.full((HEIGHT, WIDTH), 20, np.uint8))
    with pytest.raises(DataError, match="holds label 20, a has objects 1 to 19"):
        api.score(results, "vip-crw", root=root)


def test_protocols_lay_down_how_to_track(tmp_path):
    model = api.load("lab-patches", device="cpu")
    usual = api.track_config(model, None)
    assert api.protocol_config(model, "folder", root=own(tmp_path / "own")) == usual
    config = api.protocol_config(model, "jhmdb-crw", root=clips(tmp_path / "jhmdb"))
    assert (config.frame.size_px, config.points.top) == ((320, 320), 3)
    assert (config.feature, config.match.temperature) == (usual.feature, usual.match.temperature)


# --- Checking a copy. ---


@pytest.fixture
def check(run):
    """Return the lines that a check prints, and its exit status."""

    def go(benchmark, root):
        status, text, err = run("data", "check", benchmark, "--root", root)
        assert err == ""
        return status, text.splitlines()

    return go


def test_a_whole_copy_is_complete(check, run, tmp_path, monkeypatch):
    root = youtube(tmp_path / "yt")
    monkeypatch.setitem(youtube_vos.OFFICIAL, 2019, (1, 2))
    assert check("youtube-vos-2019-valid", root) == (0, ["complete: 1 videos, 6 frames, 2 objects"])
    (root / "valid" / "JPEGImages" / "stray").mkdir()
    status, lines = check("youtube-vos-2019-valid", root)
    assert (status, lines[0]) == (0, "note: not on the list: stray")
    assert check("folder", own(tmp_path / "own")) == (0, ["complete: 1 videos, 6 frames, 2 objects"])
    status, text, _ = run("data", "check", "folder", "--root", tmp_path / "own", "--json")
    assert (status, json.loads(text)["complete"]) == (0, True)


def test_joints_and_parts_are_checked(check, tmp_path, monkeypatch):
    monkeypatch.setattr(jhmdb, "OFFICIAL_VIDEOS", 2)
    monkeypatch.setattr(vip, "OFFICIAL_VIDEOS", 2)
    clips(tmp_path / "jhmdb")
    people(tmp_path / "vip")
    assert check("jhmdb-spa", tmp_path / "jhmdb") == (0, ["complete: 2 videos, 12 frames, 30 objects"])
    assert check("vip-crw", tmp_path / "vip") == (0, ["complete: 2 videos, 12 frames, 38 objects"])
    (tmp_path / "jhmdb" / "joint_positions" / "run" / "a" / "joint_positions.mat").unlink()
    (tmp_path / "jhmdb" / "Rename_Images" / "run" / "b" / "00003.png").write_bytes(b"no picture")
    status, lines = check("jhmdb-spa", tmp_path / "jhmdb")
    assert (status, len(lines)) == (3, 3)
    assert "no joints" in lines[0]
    assert "00003.png cannot be read as a picture" in lines[1]
    strange = tmp_path / "vip" / "Annotations" / "Category_ids" / "a" / "000002.png"
    write_mask(strange, np.full((HEIGHT, WIDTH), 21, np.uint8))
    assert check("vip-crw", tmp_path / "vip")[1][0] == f"mask {strange} shows id 21, a has objects 1 to 19"


def test_progress_counts_frames(tmp_path):
    told = []
    api.check_dataset("folder", root=own(tmp_path), watch=Watching(lambda _, done, total: told.append((done, total))))
    assert told == [(i, STEPS) for i in range(1, STEPS + 1)]


def test_every_fault_is_a_line(check, tmp_path, monkeypatch):
    root = youtube(tmp_path / "yt")
    monkeypatch.setitem(youtube_vos.OFFICIAL, 2019, (1, 2))
    frames, masks = root / "valid" / "JPEGImages" / "vid", root / "valid" / "Annotations" / "vid"
    (frames / "00010.jpg").write_bytes((frames / "00010.jpg").read_bytes()[:500])
    write_mask(masks / "00005.png", truth(1, 3)[:40])
    write_mask(masks / "00015.png", np.where(truth(3, 3, 8) == 3, np.uint8(4), truth(3, 8)))
    status, lines = check("youtube-vos-2019-valid", root)
    assert status == 3
    assert len(lines) == 4
    assert lines[0].startswith(f"mask {masks / '00005.png'} is 40x64 (height x width), its picture 48x64")
    assert f"{frames / '00010.jpg'} cannot be read as a picture" in lines[1]
    assert lines[2] == f"mask {masks / '00015.png'} shows id 4, vid has objects 3, 8"
    assert lines[3] == "incomplete: 3 faults in 1 videos, 6 frames, 2 objects"


def test_missing_and_damaged_files_are_named(check, tmp_path):
    root = own(tmp_path)
    (root / "frames" / "clip" / "3.jpg").unlink()
    (root / "frames" / "more").mkdir()
    status, lines = check("folder", root)
    assert status == 3
    assert lines[0].startswith(f"no frame {root / 'frames' / 'clip' / '3.jpg'} (1 of 6 missing)")
    assert lines[1] == "note: not on the list: more"
    (root / "masks" / "clip" / "3.png").write_bytes(b"no picture")
    status, lines = check("folder", root)
    assert (status, len(lines)) == (3, 3)
    assert f"{root / 'masks' / 'clip' / '3.png'} cannot be read as a picture" in lines[0]


def test_davis_is_compared_with_the_official_numbers(check, tmp_path, monkeypatch):
    root = test_dev(tmp_path)
    status, lines = check("davis-2017-test-dev", root)
    assert status == 3
    assert lines == [
        "list test-dev: 1 of 30 sequences listed",
        "sequence deer: 4 frames, the official one has 79",
        "incomplete: 2 faults in 1 videos, 4 frames, 1 objects",
    ]
    monkeypatch.setitem(davis._OFFICIAL, (2017, "test-dev"), 1)
    monkeypatch.setitem(davis.OFFICIAL_SIZES["test-dev"], "deer", Size(4, WIDTH, 1))
    assert check("davis-2017-test-dev", root) == (0, ["complete: 1 videos, 4 frames, 1 objects"])
    monkeypatch.setitem(davis.OFFICIAL_SIZES["test-dev"], "deer", Size(4, 854, 2))
    assert check("davis-2017-test-dev", root)[1][:2] == [
        "sequence deer: 64 pixels wide, the official one is 854",
        "sequence deer: 1 objects, the official one has 2",
    ]


def test_ids_that_jump_or_come_late_are_told(check, tmp_path, monkeypatch):
    root = test_dev(tmp_path)
    folder = root / "Annotations" / "480p" / "deer"
    for t in range(4):
        write_mask(folder / f"{t:05d}.png", truth(t, 3) + (truth(t, 8) > 0))
    (folder / "00002.png").unlink()
    (root / "ImageSets" / "2017" / "val.txt").write_text("deer\nghost\n")
    monkeypatch.setitem(davis._OFFICIAL, (2017, "val"), 2)
    status, lines = check("davis-2017-val", root)
    assert status == 3
    assert lines == [
        f"no mask {folder / '00002.png'} (1 of 4 missing): download the masks",
        f"ghost: no frame in {root / 'JPEGImages' / '480p' / 'ghost'} and no mask in "
        f"{root / 'Annotations' / '480p' / 'ghost'}",
        "incomplete: 2 faults in 2 videos, 4 frames, 3 objects",
    ]
    late = truth(2, 3)
    late[-1] = 5
    write_mask(folder / "00002.png", late)
    (root / "ImageSets" / "2017" / "val.txt").write_text("deer\ndeer\n")
    monkeypatch.setitem(davis._OFFICIAL, (2017, "val"), 1)
    assert check("davis-2017-val", root)[1][:2] == [
        "deer: no given mask shows object 1, 2 of 1 to 3: ids jump",
        f"mask {folder / '00002.png'} shows id 5, deer has objects 1 to 3",
    ]


def test_no_copy_at_all_is_one_line(run, tmp_path):
    status, text, err = run("data", "check", "youtube-vos-2018-valid", "--root", tmp_path)
    assert (status, text) == (3, "")
    assert err.count("\n") == 1


def test_the_official_numbers_add_up():
    val, test = davis.OFFICIAL_SIZES["val"], davis.OFFICIAL_SIZES["test-dev"]
    assert (len(val), sum(size.frames for size in val.values()), sum(size.objects for size in val.values())) == (
        30, 1999, 61,
    )  # fmt: skip
    assert (len(test), sum(size.frames for size in test.values())) == (30, 2086)


def test_real_sequences_have_the_official_numbers(shared_data):
    found = list(BENCHMARKS.get("davis-2016-val")(shared_data / "davis2016").faults())
    assert found == ["list val: 12 of 20 sequences listed"]
    found = list(BENCHMARKS.get("davis-2017-val")(shared_data / "multiobject").faults())
    assert found == ["list val: 2 of 30 sequences listed"]
