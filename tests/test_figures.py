"""The figures of the objectives' pages are drawn by the functions that training calls, so they must keep working."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

import selfvos
from selfvos.objectives.base import OBJECTIVES
from selfvos.tracking.system import MEMORY

PAGES = Path(__file__).parents[1] / "docs" / "objectives"
sys.path.insert(0, str(PAGES))
from drawing import Scene  # noqa: E402
from figures import FIGURES  # noqa: E402

SHOWN = PAGES.parent / "figures" / "objectives"


@pytest.fixture(scope="module")
def scene():
    """Return a texture that moves 2 pixels a frame, and another one."""
    noise = torch.rand(2, 3, 36, 36, generator=torch.Generator().manual_seed(0))
    textures = functional.interpolate(noise, size=(288, 288), mode="bilinear")
    clip = torch.stack([textures[0, :, 2 * t : 2 * t + 256, 2 * t : 2 * t + 256] for t in range(5)])
    return Scene(selfvos.load(device="cpu"), clip, textures[1, :, :256, :256])


@pytest.mark.parametrize("name", FIGURES)
@torch.inference_mode()
def test_a_figure_shows_something_in_every_panel(name, scene):
    figure = FIGURES[name](scene)
    assert len(figure.axes) >= 3
    for ax in figure.axes:
        assert ax.get_title()
        assert ax.images or ax.collections
        assert all(np.isfinite(np.asarray(image.get_array())).all() for image in ax.images)


def test_every_objective_has_a_page_with_its_figure():
    pages = {path.stem: path.read_text() for path in PAGES.glob("*.md") if path.stem != "index"}
    supervised = {name for name in OBJECTIVES.names() if OBJECTIVES.get(name).system != MEMORY}
    for name in set(OBJECTIVES.names()) - {"l_corr"} - supervised:
        page = pages["mask_vos" if name.startswith("l_") else name]
        assert f"(../figures/objectives/{name}.png)" in page
        assert f"`{name}`" in page
    index = (PAGES / "index.md").read_text()
    assert all(f"({name}.md)" in index for name in pages)


def test_shown_figures_are_those_that_are_drawn_and_small():
    assert {path.stem for path in SHOWN.iterdir()} == set(FIGURES)
    for path in SHOWN.iterdir():
        assert path.stat().st_size < 60_000
        assert Image.open(path).width <= 1200
