import numpy as np
import pytest
from benchmarks.reference.scorer import slow_accuracy, slow_region
from hypothesis import given, settings
from hypothesis import strategies as st

from selfvos.errors import DataError, MaskMismatch
from selfvos.evaluation.metrics import (
    boundary_accuracy,
    boundary_precision_recall,
    region_similarity,
    score_frame,
    statistics,
)

# --- Maps of ids to try: noise, boxes that may touch or fill the picture, nothing. ---


@st.composite
def id_maps(draw, shape):
    height, width = shape
    ids = np.zeros(shape, np.uint8)
    if draw(st.booleans()):
        seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.02, 0.3, 0.9]))
        rng = np.random.default_rng(seed)
        ids[:] = rng.integers(1, 5, shape) * (rng.random(shape) < share)
    for _ in range(draw(st.integers(0, 4))):
        top, bottom = sorted(draw(st.tuples(st.integers(0, height), st.integers(0, height))))
        left, right = sorted(draw(st.tuples(st.integers(0, width), st.integers(0, width))))
        ids[top:bottom, left:right] = draw(st.integers(0, 4))
    return ids


shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
pairs = shapes.flatmap(lambda shape: st.tuples(id_maps(shape), id_maps(shape)))
triples = shapes.flatmap(lambda shape: st.tuples(id_maps(shape), id_maps(shape), id_maps(shape)))
tolerances = st.sampled_from([0.008, 0.05, 1.0, 2.0, 5.0, 25.0])


@settings(max_examples=150, deadline=None)
@given(maps=pairs, tolerance=tolerances)
def test_all_objects_of_a_frame_agree_with_the_definition(maps, tolerance):
    truth, result = maps
    objects = [1, 2, 3, 9]
    region, boundary = score_frame(truth, result, objects, tolerance=tolerance)
    nothing = np.zeros(truth.shape, bool)
    expected_region = [slow_region(truth == o, result == o, nothing) for o in objects]
    expected_boundary = [slow_accuracy(truth == o, result == o, nothing, tolerance) for o in objects]
    np.testing.assert_allclose(region, expected_region, atol=1e-6)
    np.testing.assert_allclose(boundary, expected_boundary, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(maps=triples, tolerance=tolerances)
def test_one_mask_with_void_agrees_with_the_definition(maps, tolerance):
    truth, result, void = (ids > 2 for ids in maps)
    assert region_similarity(truth, result, void) == pytest.approx(slow_region(truth, result, void), abs=1e-6)
    accuracy = boundary_accuracy(truth, result, void, tolerance=tolerance)
    assert accuracy == pytest.approx(slow_accuracy(truth, result, void, tolerance), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(maps=pairs)
def test_scores_do_not_change_when_truth_and_result_change_places(maps):
    np.testing.assert_array_equal(score_frame(*maps, [1, 2]), score_frame(*reversed(maps), [1, 2]))


# --- Known answers on a frame of 480 x 854, worked out apart from this package. ---


def box(top, bottom, left, right, shape=(480, 854)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def disc(centre_y, centre_x, radius):
    y, x = np.ogrid[:480, :854]
    return (y - centre_y) ** 2 + (x - centre_x) ** 2 <= radius**2


SQUARE, NOTHING, EVERYTHING = box(100, 200, 100, 200), box(0, 0, 0, 0), box(0, 480, 0, 854)

KNOWN = {
    "identical": (SQUARE, SQUARE, 1, 1, 1, 1),
    "right 4": (SQUARE, box(100, 200, 104, 204), 0.923077, 1, 1, 1),
    "right 8": (SQUARE, box(100, 200, 108, 208), 0.851852, 1, 1, 1),
    "right 9": (SQUARE, box(100, 200, 109, 209), 0.834862, 0.54, 0.54, 0.54),
    "right 10": (SQUARE, box(100, 200, 110, 210), 0.818182, 0.535, 0.535, 0.535),
    "right 20 down 20": (SQUARE, box(120, 220, 120, 220), 0.470588, 0.085, 0.085, 0.085),
    "grown by 10": (SQUARE, box(90, 210, 90, 210), 0.694444, 0, 0, 0),
    "result empty": (SQUARE, NOTHING, 0, 0, 1, 0),
    "result everything": (SQUARE, EVERYTHING, 0.024395, 0, 1, 0),
    "both empty": (NOTHING, NOTHING, 1, 1, 1, 1),
    "truth empty": (NOTHING, SQUARE, 0, 0, 0, 1),
    "corner": (box(400, 480, 800, 854), box(400, 480, 794, 854), 0.9, 1, 1, 1),
    "discs": (disc(240, 427, 80), disc(246, 433, 75), 0.848482, 0.641144, 0.657285, 0.625776),
}


@pytest.mark.parametrize("case", KNOWN)
def test_known_scores(case):
    truth, result, j, f, precision, recall = KNOWN[case]
    assert region_similarity(truth, result) == pytest.approx(j, abs=1e-6)
    assert boundary_accuracy(truth, result) == pytest.approx(f, abs=1e-6)
    assert boundary_precision_recall(truth, result) == pytest.approx((precision, recall), abs=1e-6)
    both = score_frame(truth.astype(np.uint8) * 5, result.astype(np.uint8) * 5, [5])
    np.testing.assert_allclose(np.ravel(both), [j, f], atol=1e-6)


def test_void_pixels_are_left_out():
    shape = (200, 200)
    truth, void, result = (box(*rows, 100, 150, shape=shape) for rows in [(100, 150), (50, 100), (50, 150)])
    assert region_similarity(truth, result, void) == 1
    assert boundary_accuracy(truth, result, void) == 1
    assert region_similarity(truth, result) == 0.5
    assert boundary_accuracy(truth, result) < 1


# --- What maps may look like. ---


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_any_integer_map_will_do(dtype):
    truth = np.zeros((20, 30), dtype)
    truth[5:10, 5:10] = 7
    result = np.asfortranarray(truth)
    result.setflags(write=False)
    region, boundary = score_frame(truth, result, [7, 1000])
    assert region.tolist() == boundary.tolist() == [1, 1]


def test_ids_above_255_are_kept_apart():
    truth = np.array([[300, 300, 44, 44]], np.uint16)
    region, _ = score_frame(truth, np.full((1, 4), 44, np.uint8), [300, 44])
    assert region.tolist() == [0, 0.5]


def test_no_object_has_no_score():
    region, boundary = score_frame(np.ones((4, 4), np.uint8), np.ones((4, 4), np.uint8), [])
    assert region.shape == boundary.shape == (0,)


def test_scores_come_in_the_order_asked_for():
    truth, result = np.array([[1, 1, 2, 2]], np.uint8), np.array([[1, 1, 2, 0]], np.uint8)
    assert score_frame(truth, result, [2, 1])[0].tolist() == [0.5, 1]


def test_maps_of_different_size_are_refused():
    with pytest.raises(MaskMismatch, match=r"result is \(2, 3\), truth is \(3, 2\)"):
        score_frame(np.zeros((3, 2), np.uint8), np.zeros((2, 3), np.uint8), [1])


@pytest.mark.parametrize("bad", [-1, 65536])
def test_ids_out_of_range_are_refused(bad):
    with pytest.raises(DataError, match="must be 0 to 65535"):
        score_frame(np.full((2, 2), bad), np.zeros((2, 2), np.uint8), [1])


@pytest.mark.parametrize("objects", [[1, 1], [-1], [65536], list(range(256))])
def test_objects_that_cannot_be_told_apart_are_refused(objects):
    with pytest.raises(ValueError, match="expected at most 255 different objects from 0 to 65535"):
        score_frame(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8), objects)


# --- Statistics over frames. ---


@pytest.mark.parametrize(
    ("n", "recall", "decay"),
    [
        (4, 0.5, 0.666667),
        (5, 0.4, 0.75),
        (8, 0.5, 0.714286),
        (10, 0.5, 0.777778),
        (48, 0.5, 0.744681),
        (67, 0.492537, 0.75),
        (102, 0.5, 0.752475),
        (258, 0.5, 0.750973),
    ],
)
def test_statistics_of_a_falling_line(n, recall, decay):
    assert statistics(np.linspace(1, 0, n)) == pytest.approx((0.5, recall, decay), abs=1e-6)


def test_undefined_frames_count_for_recall_only():
    values = np.array([0.9, 0.8, np.nan, 0.5, 0.51, 0.2])
    assert statistics(values) == pytest.approx((0.582, 0.5, 0.495), abs=1e-6)


def test_a_single_frame_does_not_decay():
    assert statistics(np.array([0.7])) == (0.7, 1, 0)


def test_nothing_defined_has_no_mean():
    result = statistics(np.array([np.nan, np.nan]))
    assert np.isnan(result.mean)
    assert np.isnan(result.decay)
    assert result.recall == 0


def test_statistics_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no frame"):
        statistics(np.array([]))
