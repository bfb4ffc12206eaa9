import csv
import json
import re

import pytest
from PIL import Image

from selfvos import api, cli
from selfvos.data.mask_png import read_mask
from selfvos.errors import Interrupted
from selfvos.experiments import planning
from selfvos.experiments.ablate import ablate
from selfvos.experiments.compare import Budget
from selfvos.experiments.tables import TABLES, Table, Variant
from selfvos.settings import override

TRAIN = (
    *("model.last_stage=3", "model.mask_path=slim", "model.key_channels=16", "clips.crop_px=64"),
    *("clips.crop.max_short_side=1.0", "clips.offsets=[0, 1, 2]", "clips.frame_step=1", "precision=float32"),
    *("warmup.batch_clips=2", "joint.batch_clips=2", "pseudo_masks.short_side_px=64", "pseudo_masks.max_frames=6"),
)
STEPS = 4
TABLE = Table(
    title="Clusters",
    number="Table 0",
    about="Two rows that share a warm-up.",
    variants=(
        Variant(name="M=2", train=("pseudo_masks.clusters.clusters=2",), place=2.0, published=(50.0, 49.0, 51.0)),
        Variant(name="M=3", train=("pseudo_masks.clusters.clusters=3",), place=3.0, published=(60.0, 58.0, 62.0)),
    ),
    adopted="M=3",
    axis="clusters M",
)


@pytest.fixture(scope="session")
def budget(videos, tmp_path_factory):
    track = ("short_side_px=64", "rounds=1")
    return Budget(videos=(videos,), steps=STEPS, train=TRAIN, track=track, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def done(root, budget, tmp_path_factory):
    """The table above with two seeds: where it lies, what was found, and what was told on the way."""
    out, seen = tmp_path_factory.mktemp("ablation"), []
    asked = planning.plan(TABLE, out, budget, seeds=2)
    found = ablate(asked, "folder", root=root, out=out, watch=lambda *told: seen.append(told))
    return out, found, seen


def test_rows_share_a_warmup_and_differ_in_the_rest(done):
    out, found, seen = done
    assert sorted(folder.name for folder in (out / "runs").glob("M=*")) == ["M=2.1", "M=2.2", "M=3.1", "M=3.2"]
    assert len(list((out / "runs").glob("warmup-*"))) == 2
    assert sum(what.endswith(": warmup") for what, _, _ in seen) == 2 * STEPS // 2
    assert sum(what.endswith(": joint") for what, _, _ in seen) == 4 * STEPS // 2
    assert {name: cost["steps"] for name, cost in found.costs.items()} == {"M=2": STEPS, "M=3": STEPS}
    assert {name: len(reports) for name, reports in found.reports.items()} == {"M=2": 2, "M=3": 2}


def test_rows_are_set_against_the_adopted_one_and_the_published_numbers(done):
    out, found, _ = done
    header, first, adopted = found.rows()
    assert header[:6] == ["row", "J&F", "J", "F", "against M=3", "verdict"]
    assert (first[0], first[5], first[-4:]) == ("M=2", "undecided", ["50.0", "49.0", "51.0", "-10.0"])
    assert (adopted[0], adopted[4:6], adopted[-4:]) == ("M=3", ["", "adopted"], ["60.0", "58.0", "62.0", ""])
    assert re.fullmatch(r"\d+\.\d ± \d+\.\d", first[1])
    difference = [sum(report.overall["J&F-Mean"] for report in found.reports[name]) / 2 for name in ("M=2", "M=3")]
    assert found.difference("M=2").mean == pytest.approx(difference[0] - difference[1])
    assert "2 seeds" in " ".join(found.notes())


def test_everything_is_written(done):
    out, found, _ = done
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert [row["row"] for row in rows] == ["M=2", "M=3"]
    assert float(rows[0]["J&F-Mean"]) == pytest.approx(found.comparison.reports["M=2"].overall["J&F-Mean"], abs=1e-6)
    assert json.loads((out / "table.json").read_text())["published"]["M=2"]["scores"] == [50.0, 49.0, 51.0]
    facts = json.loads((out / "diagnostics.json").read_text())
    assert [one["agreement"] is None for one in facts["pseudo_masks"]["M=2"]] == [True, False]
    assert [one["number"] for one in facts["decoding"]["rounds"]] == [0, 1, 2, 3]
    assert len(facts["by_frame"]["M=3"]) == 6
    text = (out / "table.md").read_text()
    for name in ("figure", "errors", "pseudo_masks", "decoding"):
        assert f"({name}.png)" in text
        with Image.open(out / f"{name}.png") as picture:
            assert len(picture.convert("L").getcolors(256) or []) > 10
    page = (out / "report.html").read_text()
    assert page.count("data:image/png") == 4
    assert "clusters of square0" in page
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", page)


def test_what_is_done_is_not_done_again(done, root, budget, monkeypatch):
    out, before, _ = done
    monkeypatch.setattr(api, "train", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(api, "track_together", lambda *_, **__: pytest.fail("tracked again"))
    found = ablate(planning.plan(TABLE, out, budget, seeds=2), "folder", root=root, out=out)
    assert found.rows() == before.rows()


def test_a_run_that_breaks_off_goes_on_and_ends_as_if_it_had_not(done, root, budget, tmp_path):
    def cut(what, amount, _):
        if (what, amount) in (("M=3: joint", 1), ("M=3: square3", 3)) and (what, amount) not in cuts:
            cuts.append((what, amount))
            raise Interrupted("no more", 15)
        seen.append((what, amount))

    cuts, seen = [], []
    asked = planning.plan(TABLE, tmp_path, budget)
    for _ in range(2):
        with pytest.raises(Interrupted, match="call the same command again"):
            ablate(asked, "folder", root=root, out=tmp_path, watch=cut)
    found = ablate(asked, "folder", root=root, out=tmp_path, watch=cut)
    assert len(cuts) == 2
    assert [seen.count((f"M={m}: square{n}", 7 * (n - 2))) for m in (2, 3) for n in (3, 4)] == [1, 1, 1, 1]
    assert [step for what, step in seen if what.endswith(": warmup")] == [1, 2]
    assert [step for what, step in seen if what == "M=2: joint"] == [1, 2]
    for row in ("M=2", "M=3"):
        weights = [path / "weights.safetensors" for path in (tmp_path / "runs" / row, done[0] / "runs" / f"{row}.1")]
        assert weights[0].read_bytes() == weights[1].read_bytes()
        assert found.reports[row][0].overall == done[1].reports[row][0].overall


def test_a_table_of_tracking_trains_nothing_and_finds_what_single_runs_find(done, root, tmp_path, monkeypatch):
    weights = done[0] / "runs" / "M=3.1"
    monkeypatch.setattr(api, "train", lambda *_, **__: pytest.fail("trained"))
    asked = planning.plan(TABLES.get("rounds"), tmp_path, Budget(track=("short_side_px=64",)), weights=[str(weights)])
    found = ablate(asked, "folder", root=root, out=tmp_path)
    assert all(cost["fps"] > 0 for cost in found.costs.values())
    assert found.rows()[0][-1] == "paper: frames/s"
    model = api.load(weights)
    for rounds in (0, 2):
        config = override(api.track_config(model, None), ["short_side_px=64", f"rounds={rounds}"])
        alone = api.evaluate(model, "folder", root=root, out=tmp_path / "alone", config=config)
        assert found.reports[f"R={rounds}"][0].overall == alone.overall
        for path in (tmp_path / "alone" / "masks").rglob("*.png"):
            together = tmp_path / "scores" / f"R={rounds}" / "masks" / path.parent.name / path.name
            assert (read_mask(together, (64, 96)) == read_mask(path, (64, 96))).all()


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["selfvos", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr()


def test_a_dry_run_says_what_would_be_done_and_how_long(root, budget, tmp_path, monkeypatch, capsys):
    common = ["--benchmark", "folder", "--root", root, "--out", tmp_path, "--videos", budget.videos[0], "--steps", "4"]
    sets = [part for setting in TRAIN for part in ("--set", setting)]
    status, shown = run(
        monkeypatch, capsys, "ablate", "clusters", *common, *sets, "--track", "short_side_px=64", "--dry-run"
    )
    assert status == 0, shown.err
    lines = shown.out.splitlines()
    assert re.match(r"warmup-\w+: warm-up of 2 steps, about", lines[0])
    assert re.match(
        r"M=2: train 2 steps and 2 rounds of pseudo masks from warmup-\w+, track 14 frames, about", lines[1]
    )
    assert lines[-1].startswith("in all about")
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_table(root, tmp_path, monkeypatch, capsys):
    arguments = ["--benchmark", "folder", "--root", root, "--out", tmp_path, "--weights", "lab-patches"]
    track = ["--track", "short_side_px=64", "--track", "rounds=0"]
    status, shown = run(monkeypatch, capsys, "ablate", "references", *arguments, *track)
    assert status == 0, shown.err
    assert "first+20" in shown.out
    assert str(tmp_path / "report.html") in shown.out.replace("\n", "")
    status, shown = run(monkeypatch, capsys, "list", "tables")
    assert status == 0
    assert "Table 4a" in shown.out
