"""What a soft mask has to reach to be shown: `show.sure` and `show.lines_px`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny import picture, truth

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.tracking import showing
from selfvos.tracking.framing import Framing
from selfvos.tracking.object_table import ObjectTable
from selfvos.tracking.propagator import DenseMasks
from selfvos.tracking.settings import FrameConfig, RefineConfig, ShowConfig, TrackConfig
from selfvos.tracking.showing import Shown
from selfvos.tracking.tracker import Tracker

CONFIG = TrackConfig(refine=RefineConfig(rounds=0), frame=FrameConfig(short_side_px=None))


def soft(inside, outside, *, side=48):
    """An object in the middle that is so sure, and a rim around it that is less."""
    cells = torch.zeros(1, 2, side, side)
    cells[:, 1, 10:-10, 10:-10] = outside
    cells[:, 1, 16:-16, 16:-16] = inside
    cells[:, 0] = 1 - cells[:, 1]
    return DenseMasks(cells, 1)


def decided(masks, config, *, mask=None, given=False):
    """Return which pixels an object gets, whose drawn mask is its inside where nothing is said."""
    side = masks.cells.shape[-1]
    drawn = (masks.cells[0, 1] > 0.6).numpy().astype(np.uint8) if mask is None else mask
    config = replace(CONFIG, show=config)
    table = ObjectTable(Framing.fit((side, side), config.frame, 1), config, drawn)
    return table.decide(Shown(masks, None, config.show, table.line_levels, given=given)).channel == 1, table


def test_an_unsure_object_is_shown_where_it_is_less_than_one_half():
    unsure, sure = soft(0.7, 0.42), soft(1.0, 0.42)
    plain, _ = decided(unsure, ShowConfig())
    wide, table = decided(unsure, ShowConfig(sure=0.92))
    assert (plain.sum(), wide.sum()) == (16**2, 28**2)
    assert decided(sure, ShowConfig(sure=0.92))[0].sum() == 16**2
    assert 0.5 < table.states[0].confidence < 1
    assert not table.states[0].lost


def test_a_given_mask_is_shown_as_it_is():
    assert decided(soft(0.7, 0.42), ShowConfig(sure=0.92), given=True)[0].sum() == 16**2


def test_lines_are_shown_where_lines_were_drawn():
    masks = soft(1.0, 0.0)
    masks.cells[0, 1, 23:25, 32:46] = 0.35
    masks.cells[0, 0] = 1 - masks.cells[0, 1]
    strings = np.zeros((48, 48), np.uint8)
    strings[20:40, 20] = strings[30, 4:44] = 1
    square = (masks.cells[0, 1] > 0.5).numpy().astype(np.uint8)
    config = ShowConfig(lines_px=7)
    assert decided(masks, config, mask=strings)[0][23:25, 32:46].all()
    assert decided(masks, config, mask=square)[0].sum() == 16**2
    assert decided(masks, ShowConfig(), mask=strings)[0].sum() == 16**2


def test_lines_are_not_looked_for_where_few_were_drawn(monkeypatch):
    """Looking takes more time than all else that is done for `sure` and `lines_px`."""
    monkeypatch.setattr(showing, "lines", None)
    assert decided(soft(1.0, 0.42), ShowConfig(sure=0.8, lines_px=7))[0].sum() == 16**2


def test_each_object_has_its_own_level_and_a_copy_keeps_it():
    mask = np.zeros((48, 48), np.uint8)
    mask[5:30, 5:30], mask[40, 2:46] = 3, 7
    config = replace(CONFIG, show=ShowConfig(lines_px=7))
    table = ObjectTable(Framing.fit((48, 48), config.frame, 1), config, mask)
    assert table.line_levels == [0.5, 0.2]
    copy = table.copy()
    table.enrol(np.where(mask == 3, 4, 0).astype(np.uint8))
    assert (len(table.line_levels), copy.line_levels) == (3, [0.5, 0.2])


def test_the_width_of_lines_is_one_of_tracked_pixels():
    mask = np.zeros((96, 96), np.uint8)
    mask[40:50, 4:92] = 1  # ten pixels of the video, five of those that are tracked
    config = replace(CONFIG, show=ShowConfig(lines_px=7), frame=FrameConfig(short_side_px=48))
    assert ObjectTable(Framing.fit((96, 96), config.frame, 1), config, mask).line_levels == [0.2]


def test_a_tracker_that_goes_back_shows_the_same():
    model = Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none"))
    config = replace(CONFIG, show=ShowConfig(sure=0.99, lines_px=7))
    tracker, plain = Tracker(model, config), Tracker(model, CONFIG)
    assert np.array_equal(tracker.start(picture(0), truth(0)), plain.start(picture(0), truth(0)))
    snapshot = tracker.snapshot()
    first = [tracker.step(picture(t)) for t in range(1, 4)]
    tracker.restore(snapshot)
    assert all(np.array_equal(tracker.step(picture(t)), mask) for t, mask in enumerate(first, 1))


@pytest.mark.parametrize(
    "wrong", [{"sure": 0.5}, {"sure": 1.1}, {"sure": float("nan")}, {"lines_px": 4}, {"lines_px": 1}, {"lines_px": -7}]
)
def test_levels_that_mean_nothing_are_refused(wrong):
    with pytest.raises(UsageError, match="must be"):
        ShowConfig(**wrong)
