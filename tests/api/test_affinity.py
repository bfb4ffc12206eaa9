"""Where a pixel's label comes from: the matches of a scene in which the right ones are known."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from selfvos import api
from selfvos.data.matched_cells import Cells
from selfvos.errors import UsageError
from selfvos.settings import update
from selfvos.tracking.settings import AttendConfig, TrackConfig

SIDE, SQUARE, CELL = 96, 32, 8
CONFIG = update(
    TrackConfig(),
    {
        "frame": {"short_side_px": SIDE},
        "refine": {"rounds": 0},
        "feature": {"stage": "patch"},
        "memory": {"last": 3},
        "match": {"top_k": 4},
    },
)


def scene(t):
    """A square of many colours that goes right over grey, by one cell a frame."""
    rgb = np.full((SIDE, SIDE, 3), 90, np.uint8)
    colours = np.random.default_rng(0).integers(0, 256, (SQUARE // 4, SQUARE // 4, 3)).astype(np.uint8)
    rgb[24 : 24 + SQUARE, CELL * (t + 1) : CELL * (t + 1) + SQUARE] = colours.repeat(4, 0).repeat(4, 1)
    return rgb


def truth(t):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[24 : 24 + SQUARE, CELL * (t + 1) : CELL * (t + 1) + SQUARE] = 1
    return mask


def inside(t):
    """A pixel of the square, which is in the cell of row 4 and column t + 3."""
    return CELL * (t + 3) + 3, 36


@pytest.fixture(scope="module")
def model():
    return api.load("lab-patches", device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    for t in range(8):
        Image.fromarray(scene(t)).save(folder / f"{t:05d}.png")
    return folder


@pytest.mark.parametrize("per_frame", [False, True])  # with it copies are searched, and numbered before all frames
@pytest.mark.parametrize("pad", ["never", "fill"])
@pytest.mark.parametrize("t", [2, 6])
def test_a_pixel_is_matched_with_the_same_place_of_the_thing(model, folder, t, pad, per_frame):
    match = replace(CONFIG.match, per_frame=per_frame)
    config = replace(CONFIG, memory=replace(CONFIG.memory, pad_start=pad), match=match)
    found = api.find_matches(model, folder, truth(0), (t, *inside(t)), config=config)
    assert (found.object, found.cells.at(*inside(t))) == (1, (4, t + 3))
    assert [one.index for one in found.memory] == ([0, 1] if t == 2 else [0, 3, 4, 5])
    assert sum(one.weight for one in found.memory) == pytest.approx(1, abs=1e-4)
    if t == 2:  # frame 0 counts three times where it fills memory, and it and frame 1 have one such cell each
        assert [round(one.weight, 2) for one in found.memory] == ([0.75, 0.25] if pad == "fill" else [0.5, 0.5])
    for one in found.memory:
        assert (4, one.index + 3) in [cell[:2] for cell in one.kept]
        assert np.unravel_index(one.heat.argmax(), one.heat.shape) == (4, one.index + 3)
        assert one.heat.max() == pytest.approx(1, abs=1e-3)
        assert np.array_equal(one.rgb, scene(one.index))


def test_tracking_goes_backward_to_a_frame_before_the_mask(model, folder):
    found = api.find_matches(model, folder, {6: truth(6)}, (3, *inside(3)), config=CONFIG)
    assert [one.index for one in found.memory] == [4, 5, 6]
    assert all(max(one.kept, key=lambda cell: cell[2])[:2] == (4, one.index + 3) for one in found.memory)
    assert found.object == 1


def test_arrays_will_do_and_the_picture_shows_heat_and_frames(model, tmp_path):
    frames = (scene(t) for t in range(5))
    found = api.find_matches(model, frames, truth(0), (4, *inside(4)), config=CONFIG)
    sheet = np.array(Image.open(found.save(tmp_path / "matches.png")))
    assert len(found.memory) == 4
    assert sheet.shape == (2 * (SIDE + 20) + 4, 3 * (SIDE + 4) + 4, 3)  # the frame, and frames 0 to 3
    panel = sheet[4 : 4 + SIDE, 8 + SIDE : 8 + 2 * SIDE].astype(int)
    assert (panel[4 * CELL + 4, 3 * CELL + 4] > (200, 200, 100)).all()  # the hottest cell
    assert (panel[4 * CELL - 2, 3 * CELL + 4] == 255).all()  # the frame around it
    assert np.abs(panel[:16] - 0.65 * 90).max() < 60
    assert set(found.to_dict()["memory"][0]) == {"frame", "weight", "cells"}


def test_cells_lie_where_their_pixels_do():
    cells = Cells((100, 200), (48, 96), (48, 96), 8)
    assert cells.grid == (6, 12)
    assert cells.at(0, 0) == (0, 0)
    assert cells.at(199, 99) == (5, 11)
    assert cells.box(1, 2, (100, 200)) == pytest.approx((2 * 200 / 12, 100 / 6, 3 * 200 / 12, 2 * 100 / 6))
    values = np.arange(72, dtype=np.float32).reshape(6, 12)
    spread = cells.spread(values, (100, 200))
    assert all(spread[y, x] == values[cells.at(x, y)] for y in range(0, 100, 7) for x in range(0, 200, 7))


def test_what_has_no_matches_is_refused(model, folder):
    cases = [
        ((0, 10, 30), "tracking begins"),
        ((12, 10, 30), "no frame 12"),
        ((2, SIDE, 30), "no pixel 96,30"),
        ((2, 5, -1), "no pixel"),
    ]
    for place, message in cases:
        with pytest.raises(UsageError, match=message):
            api.find_matches(model, folder, truth(0), place, config=CONFIG)
    attend = replace(CONFIG, match=AttendConfig())
    with pytest.raises(UsageError, match="keeps no matches"):
        api.find_matches(model, folder, truth(0), (2, 5, 5), config=attend)
