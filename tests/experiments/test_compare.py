import csv
import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from selfvos import api, cli
from selfvos.errors import Diverged, UsageError
from selfvos.experiments import compare as experiment
from selfvos.experiments import runs
from selfvos.experiments.systems import parse
from selfvos.types import Watching

TRAIN = (
    *("model.last_stage=3", "model.mask_path=slim", "model.key_channels=16", "clips.crop_px=64"),
    *("clips.crop.max_short_side=1.0", "warmup.batch_clips=2", "precision=float32", "checkpoint_steps=2"),
)
ROWS = ("lab=lab-patches", "untrained=random-resnet18@crw", "short=mask_vos_resnet18+joint.epochs=0@crw")


@pytest.fixture(scope="session")
def budget(videos, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return experiment.Budget(videos=(videos,), steps=3, train=TRAIN, track=("frame.short_side_px=64",), cache=cache)


@pytest.fixture(scope="session")
def done(root, budget, tmp_path_factory):
    out = tmp_path_factory.mktemp("comparison")
    seen = []
    outcome = experiment.compare(
        [parse(text) for text in ROWS],
        "folder",
        root=root,
        out=out,
        budget=budget,
        watch=Watching(lambda *a: seen.append(a)),
    )
    return out, outcome, seen


def test_every_system_is_trained_tracked_and_scored(done):
    out, outcome, seen = done
    assert outcome.comparison.names == ["lab", "untrained", "short"]
    assert [outcome.costs[name]["steps"] for name in outcome.comparison.names] == [None, None, 3]
    assert all(cost["fps"] > 0 for cost in outcome.costs.values())
    assert outcome.costs["short"]["minutes"] > 0
    for name, report in outcome.comparison.reports.items():
        assert report.overall == api.score(out / "scores" / name / "masks", "folder", root=done_root(out)).overall
    told = {what for what, _, _ in seen}
    assert {"lab: square3", "untrained: square4", "short: warmup", "short: square3"} <= told


def done_root(out):
    return json.loads((out / "scores" / "lab" / "asked.json").read_text())["root"]


def test_the_results_are_written_for_people_and_programs(done):
    out, outcome, _ = done
    rows = list(csv.reader((out / "compare.csv").open()))
    assert rows == outcome.rows()
    assert {row[0] for row in rows[1:]} == {"lab", "untrained", "short"}
    scores = [float(row[1]) for row in rows[1:]]
    assert scores == sorted(scores, reverse=True)
    assert json.loads((out / "compare.json").read_text())["costs"]["short"]["steps"] == 3
    assert "| short |" in (out / "compare.md").read_text()
    assert "square3" in (out / "comparison.html").read_text()
    picture = Image.open(out / "compare.png")
    assert min(picture.size) > 300
    assert len(picture.convert("L").getcolors(256) or []) > 10


def test_what_is_done_is_not_done_again(done, root, budget, monkeypatch):
    out, before, _ = done
    monkeypatch.setattr(api, "train", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(api, "track_together", lambda *_, **__: pytest.fail("tracked again"))
    outcome = experiment.compare([parse(text) for text in ROWS], "folder", root=root, out=out, budget=budget)
    assert outcome.rows() == before.rows()


def test_another_tracking_is_tracked_again(done, root, budget, tmp_path, monkeypatch):
    out = shutil.copytree(done[0], tmp_path / "out")
    tracked, original = [], api.track_together
    monkeypatch.setattr(api, "track_together", lambda *a, **k: (tracked.extend(a[2]), original(*a, **k))[1])
    rows = [parse(ROWS[0]), parse("untrained=random-resnet18@vfs")]
    experiment.compare(rows, "folder", root=root, out=out, budget=budget)
    assert tracked == ["untrained"]


def test_a_folder_of_another_training_is_not_overwritten(done, root, budget):
    other = replace(budget, train=(*TRAIN, "seed=9"))
    with pytest.raises(UsageError, match="was trained with other settings"):
        experiment.compare([parse(text) for text in ROWS], "folder", root=root, out=done[0], budget=other)


def test_rows_may_share_a_training(done, root, budget, tmp_path, monkeypatch):
    out = shutil.copytree(done[0], tmp_path / "out")
    monkeypatch.setattr(api, "train", lambda *_, **__: pytest.fail("trained again"))
    rows = [parse(ROWS[2]), parse("again=mask_vos_resnet18+joint.epochs=0@vfs")]
    outcome = experiment.compare(rows, "folder", root=root, out=out, budget=budget)
    assert outcome.costs["short"]["minutes"] == outcome.costs["again"]["minutes"]


def test_a_system_that_fails_is_told_and_the_others_go_on(root, budget, tmp_path, monkeypatch):
    def diverge(*_, **__):
        raise Diverged("the loss is not finite")

    monkeypatch.setattr(api, "train", diverge)
    outcome = experiment.compare([parse(text) for text in ROWS], "folder", root=root, out=tmp_path, budget=budget)
    assert outcome.failed == {"short": "the loss is not finite"}
    assert outcome.rows()[-1] == ["short", *[""] * (len(outcome.rows()[0]) - 2), "the loss is not finite"]
    with pytest.raises(UsageError, match="nothing to compare: short: the loss is not finite"):
        experiment.compare([parse(t) for t in ROWS[1:]], "folder", root=root, out=tmp_path, budget=budget)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (("default", "default"), "two systems are called default"),
        (("default", "crw_resnet18"), "no videos"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(rows, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        experiment.plan([parse(text) for text in rows], experiment.Budget(), tmp_path)


def test_pauses_are_no_training_time(tmp_path):
    seconds = [2.0] * 5 + [3600.0]
    lines = [{"phase": "warmup", "seconds": s} for s in seconds] + [{"phase": "joint", "seconds": 4.0}] * 2
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert runs.training_cost(tmp_path) == {"steps": 8, "minutes": (6 * 2 + 2 * 4) / 60}


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["selfvos", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr()


def test_a_dry_run_says_what_would_be_trained(done, root, budget, monkeypatch, capsys):
    common = ["--benchmark", "folder", "--root", root, "--out", done[0], "--videos", budget.videos[0], "--steps", "3"]
    sets = [part for setting in TRAIN for part in ("--set", setting)]
    rows = [*ROWS, "walk=crw_resnet18"]
    status, shown = run(monkeypatch, capsys, "compare", *rows, *common, *sets, "--dry-run")
    lines = shown.out.splitlines()
    assert status == 0
    assert lines[0] == "lab: weights at hand; track and score"
    assert lines[2].startswith("short: trained already in")
    assert lines[3].startswith("walk: train (3 steps) in")


def test_the_command_prints_the_table(done, root, budget, monkeypatch, capsys):
    out = done[0]
    arguments = ["--benchmark", "folder", "--root", root, "--out", out, "--track", "frame.short_side_px=64"]
    status, shown = run(monkeypatch, capsys, "compare", *ROWS[:2], *arguments)
    assert status == 0, shown.err
    assert "untrained" in shown.out
    assert str(out / "compare.png") in shown.out.replace("\n", "")
