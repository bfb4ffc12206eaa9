"""The reference shows every public name on one page, and nothing that is not there."""

import importlib
import re
from pathlib import Path

import pytest

import selfvos
from selfvos import api

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
SHOWN = {path.name: re.findall(r"^::: (\S+)$", path.read_text(), flags=re.MULTILINE) for path in REFERENCE.glob("*.md")}


def found(name: str) -> object:
    """Return what a dotted name stands for."""
    module, _, last = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), last)
    except AttributeError:
        return importlib.import_module(name)


@pytest.mark.parametrize("page", sorted(SHOWN))
def test_what_a_page_shows_is_there_and_says_what_it_does(page):
    for name in SHOWN[page]:
        assert found(name).__doc__, f"{page}: {name} has no docstring"


def test_every_public_name_has_its_place():
    shown = [id(found(name)) for names in SHOWN.values() for name in names]
    homes = {
        id(getattr(package, name)): f"{package.__name__}.{name}"
        for package in (api, selfvos)
        for name in package.__all__
    }
    missing = sorted(name for one, name in homes.items() if one not in shown)
    assert missing == [], f"add ':::' lines for {missing} to a page of docs/reference"
    assert len(set(shown)) == len(shown), "something is shown twice"


def test_headings_say_where_a_name_is_imported_from():
    for path in REFERENCE.glob("*.md"):
        for name, heading in re.findall(
            r"^::: (\S+)\n    options:\n      heading: (\S+)$", path.read_text(), re.MULTILINE
        ):
            assert found(heading) is found(name), f"{path.name}: {heading} is not {name}"
