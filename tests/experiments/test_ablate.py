import csv
import json
import re
from dataclasses import replace

import pytest
from PIL import Image

from selfvos import api, cli
from selfvos.data.benchmarks.base import Benchmark
from selfvos.data.mask_png import read_mask
from selfvos.errors import Stopped, UsageError
from selfvos.experiments import planning, runs
from selfvos.experiments.ablate import ablate
from selfvos.experiments.compare import Budget
from selfvos.experiments.tables import TABLES, Table, Variant
from selfvos.settings import from_dict, override
from selfvos.training.settings import TrainConfig
from selfvos.types import Watching

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
    track = ("frame.short_side_px=64", "refine.rounds=1")
    return Budget(videos=(videos,), steps=STEPS, train=TRAIN, track=track, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def done(root, budget, tmp_path_factory):
    """The table above, broken off while training and again while tracking: where it lies, what was found and told."""
    out, cuts, seen = tmp_path_factory.mktemp("ablation"), [("M=3: joint", 1), ("M=3: square3", 3)], []

    def told(what, amount, _, **facts):
        seen.append((what, amount))

    watch = Watching(told, lambda: bool(cuts) and seen[-1] == cuts[0])
    asked = planning.plan(TABLE, out, budget)
    while cuts:
        with pytest.raises(Stopped, match=r"M=3 is not finished; call the same command again"):
            ablate(asked, "folder", root=root, out=out, watch=watch)
        cuts.pop(0)
    return out, ablate(asked, "folder", root=root, out=out, watch=watch), seen


def test_rows_share_a_warmup_and_nothing_is_done_twice(done):
    out, found, seen = done
    assert sorted(folder.name for folder in (out / "runs").glob("M=*")) == ["M=2", "M=3"]
    assert [step for what, step in seen if re.fullmatch(r"warmup-\w+: warmup", what)] == [1, 2]
    assert [step for what, step in seen if what == "M=2: joint"] == [1, 2]
    assert [step for what, step in seen if what == "M=3: joint"] == [1, 2]
    assert [seen.count((f"M={m}: square{n}", 7 * (n - 2))) for m in (2, 3) for n in (3, 4)] == [1, 1, 1, 1]
    assert {name: cost["steps"] for name, cost in found.costs.items()} == {"M=2": STEPS, "M=3": STEPS}


def test_a_row_learns_what_it_would_alone(done, budget, tmp_path):
    config = json.loads((done[0] / "runs" / "M=3" / "settings.json").read_text())
    training = from_dict(TrainConfig, config)
    api.train(training, videos=api.open_video_cache(budget.videos, training, cache=budget.cache), out=tmp_path)
    weights = [folder / "weights.safetensors" for folder in (tmp_path, done[0] / "runs" / "M=3")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_rows_are_set_against_the_adopted_one_and_the_published_numbers(done):
    header, first, adopted = done[1].rows()
    assert header[:6] == ["row", "J&F", "J", "F", "difference", "verdict"]
    assert (first[0], first[5:10]) == ("M=2", ["undecided", "50.0", "49.0", "51.0", "-10.0"])
    assert (adopted[0], adopted[4:10]) == ("M=3", ["", "adopted", "60.0", "58.0", "62.0", ""])


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
    found = ablate(planning.plan(TABLE, out, budget), "folder", root=root, out=out)
    assert found.rows() == before.rows()


def test_a_table_of_tracking_trains_nothing_and_finds_what_single_runs_find(done, root, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "train", lambda *_, **__: pytest.fail("trained"))
    weights = [str(done[0] / "runs" / row) for row in ("M=2", "M=3")]
    whole = TABLES.get("rounds")
    table = replace(whole, variants=(whole.variants[0], whole.variants[2]), adopted="R=2")
    asked = planning.plan(table, tmp_path, Budget(track=("frame.short_side_px=64",)), weights=weights)
    found = ablate(asked, "folder", root=root, out=tmp_path)
    assert all(cost["fps"] > 0 for cost in found.costs.values())
    assert found.rows()[0][-2:] == ["frames/s", "paper: frames/s"]
    model = api.load(weights[0])
    for rounds in (0, 2):
        config = override(api.track_config(model, None), ["frame.short_side_px=64", f"refine.rounds={rounds}"])
        alone = api.evaluate(model, "folder", root=root, out=tmp_path / "alone", config=config)
        assert found.reports[f"R={rounds}"][0].overall == alone.overall
        for path in (tmp_path / "alone" / "masks").rglob("*.png"):
            together = tmp_path / "scores" / f"R={rounds}" / "masks" / path.parent.name / path.name
            assert (read_mask(together, (64, 96)) == read_mask(path, (64, 96))).all()

    # Several weights are seeds: means with their spread, and differences between means.
    assert re.fullmatch(r"\d+\.\d ± \d+\.\d", found.rows()[1][1])
    means = [sum(one.overall["J&F-Mean"] for one in found.reports[row]) / 2 for row in ("R=0", "R=2")]
    assert found.difference("R=0").mean == pytest.approx(means[0] - means[1])
    assert "2 seeds" in " ".join(found.notes())


def test_a_table_that_was_never_published_has_no_second_half(root, tmp_path):
    rows = [Variant(name=f"t={t}", track=(f"match.temperature={t}", "refine.rounds=0"), place=t) for t in (0.05, 0.1)]
    table = Table(
        title="t", number="Not in the paper", about="", variants=tuple(rows), adopted="t=0.05", trains=False, axis="t"
    )
    asked = planning.plan(table, tmp_path, Budget(track=("frame.short_side_px=64",)), weights=["lab-patches"])
    found = ablate(asked, "folder", root=root, out=tmp_path)
    assert found.rows()[0] == ["row", "J&F", "J", "F", "difference", "verdict", "frames/s"]
    assert not any(note.startswith("Paper") for note in found.notes())


def test_a_benchmark_without_scores_is_refused_before_anything_is_trained(asked_nothing):
    with pytest.raises(UsageError, match="scored by its server only"):
        asked_nothing("davis-2017-test-dev")
    with pytest.raises(UsageError, match="follows points"):
        asked_nothing("jhmdb-crw")


class Bare(Benchmark):
    """A benchmark without any video."""

    videos = ()

    def read_result(self, path):
        raise AssertionError(path)


@pytest.fixture
def asked_nothing(budget, tmp_path, monkeypatch):
    """Ask for the table on a benchmark of some kind, without any data."""

    def ask(name):
        bare = Bare()
        bare.archive_prefix, bare.task = {"davis-2017-test-dev": ("", "masks"), "jhmdb-crw": (None, "points")}[name]
        monkeypatch.setattr(runs.BENCHMARKS, "get", lambda _: lambda _: bare)
        ablate(planning.plan(TABLE, tmp_path, budget), name, root=tmp_path, out=tmp_path)

    return ask


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["selfvos", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr()


def test_a_dry_run_says_what_would_be_done_and_how_long(root, budget, tmp_path, monkeypatch, capsys):
    common = ["--benchmark", "folder", "--root", root, "--out", tmp_path, "--videos", budget.videos[0], "--steps", "4"]
    sets = [part for setting in TRAIN for part in ("--set", setting)]
    status, shown = run(
        monkeypatch, capsys, "ablate", "clusters", *common, *sets, "--track", "frame.short_side_px=64", "--dry-run"
    )
    assert status == 0, shown.err
    lines = shown.out.splitlines()
    assert re.match(r"warmup-\w+: warm-up of 2 steps, about", lines[0])
    assert re.match(
        r"M=2: train 2 steps and 2 rounds of pseudo masks from warmup-\w+, track 14 frames, about", lines[1]
    )
    assert lines[-2].startswith("in all about")
    assert lines[-1].startswith("Times are rough: scaled by pixels and clips from trials on pictures of 64 pixels")
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_table(root, tmp_path, monkeypatch, capsys):
    arguments = ["--benchmark", "folder", "--root", root, "--out", tmp_path, "--weights", "lab-patches"]
    track = ["--track", "frame.short_side_px=64", "--track", "refine.rounds=0"]
    status, shown = run(monkeypatch, capsys, "ablate", "references", *arguments, *track)
    assert status == 0, shown.err
    assert "first+20" in shown.out
    assert str(tmp_path / "report.html") in shown.out.replace("\n", "")
    status, shown = run(monkeypatch, capsys, "list", "tables")
    assert status == 0
    assert "Table 4a" in shown.out
