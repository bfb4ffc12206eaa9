"""The notebooks run from top to bottom, and what they were left with is what they show."""

import ast
import json
import re
from pathlib import Path

import pytest
from tests.notebook import cells, run, source
from tests.test_public_api import PUBLIC

import selfvos
from selfvos.errors import MissingExtra

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def code(notebook):
    return [cell for cell in cells(notebook) if cell["cell_type"] == "code"]


def test_it_runs_and_shows_what_it_was_left_with(notebook, tmp_path):
    try:
        selfvos.demo_clip()
    except MissingExtra as error:
        pytest.skip(str(error))
    for cell, shown in zip(code(notebook), run(notebook, tmp_path), strict=True):
        assert kinds(shown) == kinds(cell["outputs"]), source(cell)
        # Numbers of the network differ a little from machine to machine; words do not.
        assert words(shown) == words(cell["outputs"]), source(cell)
    assert (tmp_path / "cockatoo" / "done").is_file()


def kinds(outputs):
    return [output["output_type"] for output in outputs]


def words(outputs):
    return [re.findall(r"[a-z_]{2,}", "".join(output.get("text", []))) for output in outputs]


def test_it_is_small_and_whole(notebook):
    content = json.loads(notebook.read_text())
    assert content["nbformat"] == 4
    assert notebook.stat().st_size < 200_000
    assert [cell["execution_count"] for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])


def test_it_needs_nothing_below_the_package(notebook):
    for cell in code(notebook):
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] != "selfvos"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "selfvos":
                assert node.attr in PUBLIC


def test_its_links_lead_somewhere(notebook):
    for cell in cells(notebook):
        for link in re.findall(r"\]\(([^)#:]+)\)", source(cell) if cell["cell_type"] == "markdown" else ""):
            assert (notebook.parent / link).is_file(), link
