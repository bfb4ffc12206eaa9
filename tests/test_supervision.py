"""Supervised systems are marked in lists, reports and comparisons."""

import json

import numpy as np
import pytest
from PIL import Image

from selfvos import api
from selfvos.settings import override


@pytest.fixture
def davis(tmp_path):
    """One sequence of three small frames in the layout of DAVIS 2016."""
    root = tmp_path / "data"
    for t in range(3):
        rgb = np.full((48, 64, 3), (40, 130, 60), dtype=np.uint8)
        mask = np.zeros((48, 64), dtype=np.uint8)
        rgb[12:36, 8 + 4 * t : 32 + 4 * t], mask[12:36, 8 + 4 * t : 32 + 4 * t] = (220, 40, 40), 255
        for kind, picture, suffix in (("JPEGImages", rgb, "jpg"), ("Annotations", mask, "png")):
            path = root / kind / "480p" / "alpha" / f"{t:05d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    (root / "ImageSets" / "2016").mkdir(parents=True)
    (root / "ImageSets" / "2016" / "val.txt").write_text("alpha\n")
    return root


def evaluate(root, out, *changes, preset):
    model = api.load("lab-patches", device="cpu")
    config = override(api.track_config(model, preset), ["frame.short_side_px=48", *changes])
    return api.evaluate(model, "davis-2016-val", root=root, out=out, config=config)


def test_reports_and_comparisons_say_that_a_system_is_supervised(davis, tmp_path):
    ours, other = tmp_path / "ours", tmp_path / "osvos"
    plain = evaluate(davis, ours, preset=None)
    marked = evaluate(davis, other, "system.settings.steps=3", preset="osvos")
    assert "supervised" not in plain.title
    assert "supervised system osvos" in marked.title
    assert "supervised system osvos" in json.loads((other / "report.json").read_text())["provenance"]["supervision"]
    for name in ("report.md", "report.html"):
        assert "supervised system osvos" in (other / name).read_text()
        assert "supervised" not in (ours / name).read_text()
    table = api.score_together([ours / "masks", other / "masks"], "davis-2016-val", root=davis).table()
    assert "osvos/masks (supervised)" in table
    assert "ours/masks (supervised)" not in table


def test_lists_say_it():
    for kind, supervised in {
        "presets": {"osvos"},
        "systems": {"osvos", "stm", "rgmp"},
        "recipes": {"stm_resnet18", "rgmp_resnet18"},
        "objectives": {"stm", "rgmp"},
    }.items():
        said = {
            name for name, what in api.names(kind).items() if "supervised" in what.lower().replace("self-super", "")
        }
        assert said == supervised
