import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from selfvos.errors import DataError, UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.ops.matching import MatchConfig
from selfvos.tracking.points import PointTracker, draw_points, read_points
from selfvos.tracking.settings import FeatureConfig, FrameConfig, PointConfig, RefineConfig, TrackConfig

CELLS = PointConfig()
PIXELS = PointConfig(grid="pixels", sigma=4.0, top=5)
CONFIG = TrackConfig(
    refine=RefineConfig(rounds=0),
    frame=FrameConfig(size_px=(96, 128), precision="float32"),
    match=MatchConfig(temperature=0.02),
)


@pytest.fixture(scope="module")
def model():
    return Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none")).eval()


def scene(t, size=(72, 96)):
    """Blobs of different colour that all move by (2, 1) pixels a frame, and where their centres are."""
    y, x = np.mgrid[: size[0], : size[1]]
    centres = np.array([[20.0, 20.0], [60.0, 24.0], [36.0, 48.0]]) + np.array([2.0, 1.0]) * t
    rgb = np.full((*size, 3), 90.0)
    for centre, colour in zip(centres, [(250, 30, 30), (30, 60, 250), (240, 230, 20)], strict=True):
        near = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 60)[..., None]
        rgb = rgb * (1 - near) + np.array(colour) * near
    return rgb.astype(np.uint8), centres


@pytest.mark.parametrize("points", [CELLS, PIXELS])
def test_points_go_with_what_they_lie_on(model, points):
    tracker = PointTracker(model, replace(CONFIG, points=points))
    frame, centres = scene(0)
    np.testing.assert_array_equal(tracker.start(frame, centres), centres)
    for t in range(1, 7):
        frame, centres = scene(t)
        found = tracker.step(frame)
    # A cell is 6 native pixels: the walk is 13.4 long.
    assert np.linalg.norm(found - centres, axis=1).max() < 6


@pytest.mark.parametrize("points", [CELLS, PIXELS])
def test_a_still_picture_keeps_its_points(model, points):
    tracker = PointTracker(model, replace(CONFIG, points=points, match=MatchConfig(top_k=1)))
    frame, centres = scene(0)
    tracker.start(frame, centres)
    found = [tracker.step(frame) for _ in range(3)]
    np.testing.assert_allclose(found[0], found[2])
    assert np.linalg.norm(found[0] - centres, axis=1).max() < 4.5  # half the diagonal of a cell


@pytest.mark.parametrize("points", [CELLS, PIXELS])
def test_what_lies_outside_is_missing_from_the_start(model, points):
    tracker = PointTracker(model, replace(CONFIG, points=points))
    frame, centres = scene(0)
    centres[1] = (500.0, 10.0)
    centres[2] = math.nan
    for found in (tracker.start(frame, centres), tracker.step(scene(1)[0])):
        assert np.isnan(found).any(axis=1).tolist() == [False, True, True]
    with pytest.raises(DataError, match="none of the points lies in the first frame"):
        tracker.start(frame, centres + 500)


def test_the_frame_may_be_resized_to_any_shape_and_padded(model):
    frame, centres = scene(0)
    for config in (
        replace(CONFIG, frame=FrameConfig(size_px=(160, 80))),
        replace(CONFIG, frame=FrameConfig(short_side_px=75)),
    ):
        for points in (CELLS, PIXELS):
            tracker = PointTracker(model, replace(config, points=points, match=MatchConfig(top_k=1)))
            tracker.start(frame, centres)
            assert np.linalg.norm(tracker.step(frame) - centres, axis=1).max() < 9


def test_wrong_use_is_refused(model):
    with pytest.raises(UsageError, match="set refine.rounds to 0, got 2"):
        PointTracker(model, TrackConfig(refine=RefineConfig(rounds=2)))
    with pytest.raises(UsageError, match="unknown feature 'layer9'"):
        PointTracker(model, TrackConfig(refine=RefineConfig(rounds=0), feature=FeatureConfig(stage="layer9")))
    tracker = PointTracker(model)
    frame, centres = scene(0)
    with pytest.raises(UsageError, match="call start"):
        tracker.step(frame)
    tracker.start(frame, centres)
    with pytest.raises(DataError, match=r"frame is 40x96 \(height x width\), the first one was 72x96"):
        tracker.step(frame[:40])


# --- Maps of points. ---


def test_a_point_is_a_gaussian_with_its_peak_on_a_place():
    (near,) = draw_points(np.array([[3.4, 2.5]]), (6, 8), 0.5)
    assert (near == 1).nonzero().tolist() == [[3, 3]]  # the nearest place; halves go up
    assert near[3, 4] == pytest.approx(math.exp(-2))
    assert near[3].tolist() == pytest.approx([0, math.exp(-8), math.exp(-2), 1, math.exp(-2), 0, 0, 0])
    (wide,) = draw_points(np.array([[30.9, 20.2]]), (60, 70), 4.0)
    assert (wide == 1).nonzero().tolist() == [[20, 30]]
    assert wide[20, 34] == pytest.approx(math.exp(-0.5))
    assert wide[20].nonzero().flatten().tolist() == list(range(18, 43))  # 12 places each way


def test_points_outside_draw_what_reaches_in():
    inside, beyond, missing = draw_points(np.array([[-3.0, 5.0], [-40.0, 5.0], [math.nan, 5.0]]), (20, 20), 4.0)
    assert inside[5, 0] == pytest.approx(math.exp(-9 / 32))
    assert not beyond.any()
    assert not missing.any()


def test_the_strongest_places_are_averaged():
    maps = torch.zeros(3, 4, 5)
    maps[0, 1, 2], maps[0, 1, 4], maps[0, 3, 0] = 0.6, 0.2, 0.1
    maps[1, 2, 3] = 1e-6
    found = read_points(maps, 2)
    np.testing.assert_allclose(found[0], [(0.6 * 2 + 0.2 * 4) / 0.8, 1.0], rtol=1e-6)
    np.testing.assert_allclose(found[1], [3.0, 2.0])
    assert np.isnan(found[2]).all()
    assert read_points(maps, 99).shape == (3, 2)


@pytest.mark.parametrize("bad", [{"sigma": 0.0}, {"sigma": math.inf}, {"top": 0}])
def test_settings_are_checked(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        PointConfig(**bad)


def test_a_size_too_small_is_refused():
    with pytest.raises(UsageError, match="size_px must be at least 16 by 16, got 320 by 8"):
        FrameConfig(size_px=(320, 8))
