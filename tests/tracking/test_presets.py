import numpy as np
import pytest
import torch
from tests.tracking.given import FRAME, STRIDE, model, moving, small, tracker_of, two_objects
from tests.tracking.oracles import ROWS, propagate
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.settings import from_dict, to_dict
from selfvos.tracking.points import PointTracker
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker


def test_every_preset_has_its_row():
    assert set(PRESETS.names()) == {"mask-vos", "osvos", *ROWS}
    assert all(PRESETS.described().values())


@pytest.mark.parametrize("name", ROWS)
def test_labels_and_masks_are_those_of_the_table(name):
    row, config = ROWS[name], small(PRESETS.get(name))
    features, ids = moving(18 if row.recentre else 10, config.feature.scale), two_objects()
    tracker = tracker_of(features, config)
    if config.feature.scale != 1:
        features = F.interpolate(features.movedim(3, 1), scale_factor=2, mode="bilinear").movedim(1, 3)
    tracker.start(FRAME, ids)
    wanted = propagate(features, torch.from_numpy(ids), [3, 7], row)
    for number, (labels, mask, clear) in enumerate(wanted):
        found = torch.from_numpy(tracker.step(FRAME))
        # Where two cells or two labels are equal but for rounding, either may win.
        assert ((tracker.propagator.latest.cells[0] - labels).abs() > 5e-5).float().mean() < 1e-3
        assert torch.equal(found[clear], mask[clear].byte())
        assert clear.float().mean() > 0.97
        assert number > 2 or set(found.unique().tolist()) == {0, 3, 7}


def test_points_are_followed_by_any_preset_without_refinement():
    features = moving(8)
    for name in ("mast", "liir", "uvc", "crw"):
        tracker = tracker_of(features, small(PRESETS.get(name)), PointTracker)
        tracker.start(FRAME, np.array([[50.0, 30.0]]))
        for step in range(1, 5):  # the scene moves to the left, a cell in each frame
            (found,) = tracker.step(FRAME)
            assert np.hypot(*(found - (50 - STRIDE * step, 30))) < 1.5 * STRIDE, (name, step)


def test_objects_may_appear_later_with_hard_labels():
    ids = two_objects()
    tracker = tracker_of(moving(6), small(PRESETS.get("mast")))
    tracker.start(FRAME, np.where(ids == 7, ids, 0))
    found = tracker.step(FRAME, np.where(ids == 3, ids, 0))
    assert ((found == 3) == (ids == 3)).all()
    assert set(tracker.propagator.latest.cells.unique().tolist()) == {0.0, 1.0}
    assert set(np.unique(tracker.step(FRAME))) == {0, 3, 7}


def test_nothing_but_the_previous_frame_is_remembered_for_corrflow():
    ids = two_objects()
    tracker = tracker_of(moving(6), small(PRESETS.get("corrflow")))
    tracker.start(FRAME, np.where(ids == 7, ids, 0))
    tracker.step(FRAME)
    tracker.correct(ids)
    assert set(np.unique(tracker.step(FRAME))) == {0, 3, 7}
    assert tracker.propagator.memory.ages == [1]


def test_a_feature_that_weights_lack_is_named():
    for name in set(PRESETS.names()) - {"mask-vos", "mask-vos-propagation", "osvos", "timecycle"}:
        feature = PRESETS.get(name).feature.stage
        with pytest.raises(
            UsageError, match=f"unknown feature '{feature}'; this network has key, patch: choose a preset"
        ):
            Tracker(model(), PRESETS.get(name))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory": {"offsets": (1, 0)}}, "offsets must be at least 1"),
        ({"memory": {"permanent": (), "last": 0}}, "so that there is one to match"),
        ({"memory": {"permanent": (5,), "offsets": (3,)}}, "so that there is one to match"),
        ({"memory": {"permanent": (-1, 0)}}, "permanent must be at least 0"),
        ({"memory": {"pad_start": "often"}}, "pad_start"),
        ({"refine": {"rounds": 1}, "feature": {"scale": 2}}, "set feature.scale to 1"),
        ({"match": {"top_k": 5, "recentre_after": 15}}, "setting match: top_k do not go with recentre_after"),
        ({"labels": {"object_gain": 0.0}}, "object_gain"),
        ({"labels": {"min_max": "often"}}, "min_max"),
        ({"frame": {"short_side_px": 8}}, "short_side_px"),
        ({"frame": {"long_side_multiple": 0}}, "long_side_multiple"),
        ({"match": {"normalise": "frame"}}, "per_frame"),
        ({"match": {"radius_cells": 0, "recentre_after": None}}, "setting match: radius_cells"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        from_dict(TrackConfig, {"refine": {"rounds": 0}, **settings})


@pytest.mark.parametrize("name", sorted(ROWS))
def test_presets_survive_being_written_down(name):
    assert from_dict(TrackConfig, to_dict(PRESETS.get(name))) == PRESETS.get(name)
