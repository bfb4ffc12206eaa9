"""Scoring one or several results through the command line, with everything that is written."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from selfvos import cli

FRAMES = 5


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def square(t, shift=0):
    ids = np.zeros((48, 64), np.uint8)
    ids[10:30, 5 + 3 * t + shift : 25 + 3 * t + shift] = 255
    return ids


@pytest.fixture
def root(tmp_path):
    for name in ("alpha", "beta"):
        for t in range(FRAMES):
            save(tmp_path / "DAVIS" / "Annotations" / "480p" / name / f"{t:05d}.png", square(t))
            for kind, shift in (("good", 0), ("poor", 6)):
                save(tmp_path / kind / "masks" / name / f"{t:05d}.png", square(t, shift))
    lists = tmp_path / "DAVIS" / "ImageSets" / "2016"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("alpha\nbeta\n")
    return tmp_path / "DAVIS"


@pytest.fixture
def run(monkeypatch, capsys, root):
    def go(*arguments):
        words = ["selfvos", "score", *map(str, arguments), "davis-2016-val", "--root", str(root)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return go


def test_one_result_is_reported_in_every_form(run, tmp_path, root):
    (root / "db_info.yml").write_text("sequences: [{name: alpha, attributes: [FM]}]")
    status, text, progress = run("--out", tmp_path / "out", tmp_path / "good" / "masks")
    assert (status, progress) == (0, "")
    assert "alpha_1" in text
    assert "FM fast motion" in text
    assert text.splitlines()[-1] == f"page: {tmp_path / 'out' / 'report.html'}"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"report.{kind}" for kind in ("html", "json", "csv", "md")),
        "global_results-val.csv",
        "per-sequence_results-val.csv",
    }
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(saved["provenance"]["data"]) == len(saved["provenance"]["results"]) == 64
    assert saved["provenance"]["data"][:12] in text
    assert "data:image/jpeg" in (tmp_path / "out" / "report.html").read_text()


def test_results_are_set_against_the_first(run, tmp_path):
    status, text, _ = run("--out", tmp_path / "out", tmp_path / "good" / "masks", tmp_path / "poor" / "masks")
    assert status == 0
    assert text.splitlines()[2].split() == ["good/masks", "poor/masks", "diff"]
    assert text.splitlines()[3].split()[:2] == ["alpha_1", "1.000"]
    assert "\x1b" not in text
    assert text.splitlines()[-1] == f"page: {tmp_path / 'out' / 'comparison.html'}"
    assert {path.suffix for path in (tmp_path / "out").glob("comparison.*")} == {".md", ".csv", ".json", ".html"}
    assert "poor/masks: J" in (tmp_path / "out" / "comparison.html").read_text()


def test_a_comparison_is_one_json_object(run, tmp_path):
    status, text, _ = run(tmp_path / "poor" / "masks", tmp_path / "good" / "masks", "--json")
    assert status == 0
    found = json.loads(text)
    assert found["against"] == "poor/masks"
    assert found["results"]["good/masks"]["J-Mean"] == 1
    assert found["differences"]["good/masks"]["J-Mean"]["mean"] > 0.2


def test_the_same_result_twice_is_refused(run, tmp_path):
    status, _, err = run(tmp_path / "good" / "masks", tmp_path / "good" / "masks")
    assert status == 2
    assert "given twice" in err


def test_published_results_differ_as_published(shared_data, monkeypatch, capsys):
    """Three sequences of DAVIS 2016 val: STM is ahead of OSVOS by what is known of both."""
    peers = shared_data / "peer_results"
    from selfvos.data.benchmarks.davis import Davis
    from selfvos.evaluation.comparison import compare
    from selfvos.evaluation.protocols import score_results
    from selfvos.evaluation.report import summarise

    benchmark = Davis(shared_data / "davis2016", year=2016, split="val")
    benchmark.videos = tuple(video for video in benchmark.videos if video.name in {"blackswan", "dog", "car-shadow"})
    reports = {
        name: summarise(benchmark, score_results(benchmark, peers / name))
        for name in ("stm_davis2016val", "osvos_davis2017val")
    }
    found = compare(reports).differences["osvos_davis2017val"]["J&F-Mean"]
    assert found.mean == pytest.approx(-0.116, abs=0.002)
    assert (found.ahead, found.videos) == (0, 3)
    assert found.high < 0
