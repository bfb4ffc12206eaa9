import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfvos.evaluation.parts import class_iou, confusion, mean_iou

TRUTH = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
RESULT = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)


def test_pixels_are_counted_by_true_and_found_class():
    counts = confusion(TRUTH, RESULT, 4)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_mean_iou_has_the_background_and_leaves_out_what_is_nowhere():
    counts = confusion(TRUTH, RESULT, 4)
    np.testing.assert_allclose(class_iou(counts), [1 / 3, 2 / 3, 0.0, np.nan])
    assert mean_iou(counts) == pytest.approx(1 / 3)
    assert np.isnan(mean_iou(np.zeros((4, 4), np.int64)))


def test_a_class_that_is_only_found_counts_as_wrong():
    counts = confusion(np.zeros((1, 4), np.uint8), np.array([[0, 0, 0, 3]], np.uint8), 4)
    np.testing.assert_allclose(class_iou(counts), [0.75, np.nan, np.nan, 0.0])
    assert mean_iou(counts) == pytest.approx(0.375)


maps = arrays(np.uint8, (6, 7), elements=st.integers(0, 4))


@given(maps, maps)
def test_iou_is_what_sets_say(truth, result):
    found = class_iou(confusion(truth, result, 5))
    for c in range(5):
        union = ((truth == c) | (result == c)).sum()
        expected = ((truth == c) & (result == c)).sum() / union if union else np.nan
        np.testing.assert_allclose(found[c], expected)


@given(maps, maps, maps, maps)
def test_frames_are_pooled_before_dividing(a, b, c, d):
    together = confusion(np.concatenate([a, c]), np.concatenate([b, d]), 5)
    np.testing.assert_array_equal(confusion(a, b, 5) + confusion(c, d, 5), together)
