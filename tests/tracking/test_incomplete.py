"""Drawings that are silent on some of their pixels."""

import numpy as np
import pytest

from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.tracking.settings import FrameConfig, MemoryConfig, RefineConfig, TrackConfig
from selfvos.tracking.tracker import Tracker

SIDE = 64
PLAIN = TrackConfig(
    refine=RefineConfig(rounds=0),
    frame=FrameConfig(short_side_px=SIDE, precision="float32"),
    memory=MemoryConfig(last=3),
)


@pytest.fixture
def ground():
    return (
        np.random.default_rng(0).integers(0, 255, (SIDE // 4, SIDE // 4, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    )


def patch():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[24:40, 24:40] = 1
    return mask


def sure(ground, **more):
    """How sure it is of a patch of still ground, beside a drawing of the same ground in which the patch has no name."""
    model = Segmenter(SegmenterConfig(backbone="lab-patches", stride=4, mask_path="none")).eval()
    tracker = Tracker(model, PLAIN)
    tracker.start(ground, patch())
    if more:
        tracker.remember(ground, np.zeros((SIDE, SIDE), np.uint8), **more)
    saved = tracker.snapshot()
    tracker.step(ground)
    first = tracker.soft()
    tracker.restore(saved)
    tracker.step(ground)
    assert np.array_equal(tracker.soft(), first)
    return first[0][patch() > 0].mean()


def test_what_a_drawing_is_silent_on_is_no_background(ground):
    alone, silent, against = sure(ground), sure(ground, complete=False), sure(ground, complete=True)
    assert silent >= alone - 0.02
    assert against < silent - 0.1


def test_what_it_shows_is_remembered_all_the_same(ground):
    model = Segmenter(SegmenterConfig(backbone="lab-patches", stride=4, mask_path="none")).eval()
    other, below, likely = 255 - ground, np.roll(patch(), 20, axis=0), []
    for complete in (True, False):
        tracker = Tracker(model, PLAIN)
        tracker.start(ground, patch())
        tracker.remember(other, 2 * below, complete=complete)
        tracker.step(other)
        likely.append(tracker.soft()[1][below > 0].mean())
    assert likely[1] >= likely[0] > 0.1
