import json

import pytest
from PIL import Image

from selfvos import api
from selfvos.errors import UsageError
from selfvos.experiments.births import diagnose
from selfvos.settings import override


@pytest.fixture(scope="module")
def found(root, tmp_path_factory):
    model = api.load("default")
    out = tmp_path_factory.mktemp("births")
    config = override(api.protocol_config(model, "folder", root=root), ["short_side_px=64", "rounds=0", "last=2"])
    return diagnose(model, "folder", root=root, out=out, config=config), out


def test_every_wrong_cell_descends_from_one_birth(found):
    births, out = found
    facts = json.loads((out / "births.json").read_text())
    assert sorted(births) == sorted(facts) == ["square3", "square4"]
    for name, one in births.items():
        assert facts[name]["wrong_cells"] == one.descendants.sum()
        assert facts[name]["births"] == len(one.frame)
        assert (one.frame > 0).all(), "the first frame is given"
        if len(one.frame):
            assert sum(facts[name]["places"].values()) == pytest.approx(1)
            assert sum(facts[name]["scores"].values()) == pytest.approx(1)


def test_it_is_told_in_a_table_and_a_picture(found):
    _, out = found
    lines = (out / "births.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["square3", "square4"]
    assert len({line.count("|") for line in lines}) == 1
    with Image.open(out / "births.png") as picture:
        assert picture.width > 600


def test_what_has_no_matches_to_follow_is_refused(root, tmp_path):
    model = api.load("default")
    config = override(api.protocol_config(model, "folder", root=root), ["memory.pad_start=fill", "rounds=0"])
    with pytest.raises(UsageError, match="pad_start"):
        diagnose(model, "folder", root=root, out=tmp_path, config=config)
