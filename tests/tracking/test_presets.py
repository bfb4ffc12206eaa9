from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.tracking.oracles import ROWS, propagate
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.settings import from_dict, to_dict
from selfvos.tracking.eye import Eye
from selfvos.tracking.points import PointTracker
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker
from selfvos.types import FrameFeatures

STRIDE, GRID, CHANNELS = 4, (14, 18), 12
SIZE = (STRIDE * GRID[0], STRIDE * GRID[1])
FRAME = np.zeros((*SIZE, 3), dtype=np.uint8)


class Given(Eye):
    """Looks at features that are given, one frame after the other."""

    def __init__(self, features, config):
        stage = config.feature.stage if config.feature.stage == "key" else "given"
        self._config = replace(config, feature=replace(config.feature, stage=stage))
        self.model = SimpleNamespace(stride=STRIDE * config.feature.scale, device=torch.device("cpu"))
        self.stride = STRIDE
        self._features = iter(features)
        self._glance = None

    def look(self, frame, framing):  # noqa: ARG002
        stage = next(self._features).movedim(2, 0)[None]
        features = FrameFeatures(key=F.normalize(stage, dim=1), base=stage, stages={"given": stage})
        return torch.zeros(1, 3, *SIZE), features


def small(config, feature):
    """Return the settings for a small video and a network of one stage."""
    frame = replace(config.frame, short_side_px=min(SIZE), size_px=None, long_side_multiple=1)
    stage = "key" if config.feature.stage == "key" else feature
    return replace(config, frame=frame, feature=replace(config.feature, stage=stage))


def moving(frames, scale=1):
    """Make features of a scene that moves by a cell in each frame, with some noise."""
    generator = torch.Generator().manual_seed(0)
    h, w = GRID[0] // scale, GRID[1] // scale
    scene = torch.randn(h, w + frames, CHANNELS, generator=generator)
    noise = torch.randn(frames, h, w, CHANNELS, generator=generator)
    return torch.stack([scene[:, i : i + w] for i in range(frames)]) + 0.3 * noise


def two_objects():
    ids = np.zeros(SIZE, dtype=np.uint8)
    ids[9:33, 23:47] = 7
    ids[30:50, 50:69] = 3
    return ids


@pytest.fixture(scope="module")
def model():
    return Segmenter(SegmenterConfig(backbone="lab-patches", stride=STRIDE, mask_path="none")).eval()


def test_every_preset_has_its_row():
    assert set(PRESETS.names()) == {"mask-vos", "osvos", *ROWS}
    assert all(PRESETS.described().values())


@pytest.mark.parametrize("name", ROWS)
def test_labels_and_masks_are_those_of_the_table(name, model):
    row, config = ROWS[name], small(PRESETS.get(name), "patch")
    features, ids = moving(18 if row.recentre else 10, config.feature.scale), two_objects()
    tracker = Tracker(model, config)
    tracker._eye = Given(features, config)
    if config.feature.scale != 1:
        features = F.interpolate(features.movedim(3, 1), scale_factor=2, mode="bilinear").movedim(1, 3)
    tracker.start(FRAME, ids)
    wanted = propagate(features, torch.from_numpy(ids), [3, 7], row)
    for number, (labels, mask, clear) in enumerate(wanted):
        found = torch.from_numpy(tracker.step(FRAME))
        # Where two cells or two labels are equal but for rounding, either may win.
        assert ((tracker._latest.coarse[0] - labels).abs() > 5e-5).float().mean() < 1e-3
        assert torch.equal(found[clear], mask[clear].byte())
        assert clear.float().mean() > 0.97
        assert number > 2 or set(found.unique().tolist()) == {0, 3, 7}


def test_points_are_followed_by_any_preset_without_refinement(model):
    features = moving(8)
    for name in ("mast", "liir", "uvc", "crw"):
        tracker = PointTracker(model, small(PRESETS.get(name), "patch"))
        tracker._eye = Given(features, tracker.config)
        tracker.start(FRAME, np.array([[50.0, 30.0]]))
        for step in range(1, 5):  # the scene moves to the left, a cell in each frame
            (found,) = tracker.step(FRAME)
            assert np.hypot(*(found - (50 - STRIDE * step, 30))) < 1.5 * STRIDE, (name, step)


def test_objects_may_appear_later_with_hard_labels(model):
    ids = two_objects()
    tracker = Tracker(model, small(PRESETS.get("mast"), "patch"))
    tracker._eye = Given(moving(6), tracker.config)
    tracker.start(FRAME, np.where(ids == 7, ids, 0))
    found = tracker.step(FRAME, np.where(ids == 3, ids, 0))
    assert ((found == 3) == (ids == 3)).all()
    assert set(tracker._latest.coarse.unique().tolist()) == {0.0, 1.0}
    assert set(np.unique(tracker.step(FRAME))) == {0, 3, 7}


def test_nothing_but_the_previous_frame_is_remembered_for_corrflow(model):
    ids = two_objects()
    tracker = Tracker(model, small(PRESETS.get("corrflow"), "patch"))
    tracker._eye = Given(moving(6), tracker.config)
    tracker.start(FRAME, np.where(ids == 7, ids, 0))
    tracker.step(FRAME)
    tracker.correct(ids)
    assert set(np.unique(tracker.step(FRAME))) == {0, 3, 7}
    assert tracker._memory.ages == [1]


def test_a_feature_that_weights_lack_is_named(model):
    for name in set(PRESETS.names()) - {"mask-vos", "mask-vos-propagation", "osvos", "timecycle"}:
        feature = PRESETS.get(name).feature.stage
        with pytest.raises(
            UsageError, match=f"unknown feature '{feature}'; this network has key, patch: choose a preset"
        ):
            Tracker(model, PRESETS.get(name))


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
