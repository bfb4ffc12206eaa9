import numpy as np
import pytest
from tests import tiny

from selfvos.errors import DataError, MaskMismatch, Stopped, UsageError
from selfvos.napari_plugin.layers import LayerFrames, Request, follow, labels_of
from selfvos.types import Watching

COUNT = 5
BYTES, UNIT = (0.0, 255.0), (0.0, 1.0)
MOVIE = np.stack([tiny.picture(t) for t in range(COUNT)])
LABELS = np.stack([tiny.truth(t) for t in range(COUNT)])


def request(**changes):
    frames = LayerFrames(MOVIE, BYTES, rgb=True)
    return Request(**{"frames": frames, "frame": 0, "labels": LABELS[0], "weights": "lab-patches", **changes})


@pytest.mark.parametrize(("direction", "start"), [("forward", 0), ("backward", 4), ("forward", 2), ("backward", 2)])
def test_labels_of_one_frame_become_those_of_all(direction, start):
    asked = request(frame=start, labels=LABELS[start].astype(np.int32) * 300, direction=direction)
    found = dict(follow(asked))
    assert list(found) == (list(range(start, COUNT)) if direction == "forward" else list(range(start, -1, -1)))
    assert len(asked) == len(found)
    assert np.array_equal(found[start], LABELS[start].astype(int) * 300)
    for t, labels in found.items():
        assert set(np.unique(labels)) == {0, 300}
        both, either = ((labels > 0) & (LABELS[t] > 0)).sum(), ((labels > 0) | (LABELS[t] > 0)).sum()
        assert both / either > 0.6


def test_a_watch_stops_it():
    found = []
    results = follow(request(), Watching(asked=lambda: len(found) == 2))
    with pytest.raises(Stopped):
        found.extend(results)
    assert len(found) == 2


def test_frames_are_what_the_layer_shows():
    grey = np.arange(2 * 4 * 6, dtype=np.uint16).reshape(2, 4, 6) * 1000
    frames = LayerFrames(grey, (1000.0, 24000.0))
    assert (len(frames), frames.size) == (2, (4, 6))
    assert frames[0].dtype == np.uint8
    assert frames[0].shape == (4, 6, 3)
    assert (frames[0][0, 0] == 0).all()
    assert (frames[0][0, 1] == 0).all()
    assert (frames[1][0, 1] == 255).all()
    assert np.array_equal(LayerFrames(MOVIE[..., 0], BYTES)[1], MOVIE[1, ..., :1].repeat(3, axis=-1))
    assert np.array_equal(LayerFrames(MOVIE, BYTES, rgb=True)[-1], MOVIE[-1])
    shown = LayerFrames(MOVIE / np.float32(255), UNIT, rgb=True)[1]
    assert np.abs(shown.astype(int) - MOVIE[1]).max() <= 1
    broken = np.full((1, 2, 2), np.nan, np.float32)
    assert (LayerFrames(broken, UNIT)[0] == 0).all()


def test_only_the_frame_asked_for_is_read():
    read = []

    class Lazy:
        shape, ndim = (1000, 4, 6), 3

        def __getitem__(self, index):
            read.append(index)
            return np.zeros((4, 6), np.uint8)

        def __array__(self, *_, **__):
            raise AssertionError("all of it was read")

    frames = LayerFrames(Lazy(), BYTES)
    frames[7]
    assert (read, len(frames)) == ([7], 1000)


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (DataError, "pick one channel", lambda: LayerFrames(np.zeros((2, 3, 4, 5)), UNIT)),
        (DataError, "tracking needs frames", lambda: LayerFrames(np.zeros((4, 5)), UNIT)),
        (MaskMismatch, "30 x 64", lambda: request(labels=LABELS[0, :30])),
        (MaskMismatch, "nothing is labelled on frame 0", lambda: request(labels=np.zeros_like(LABELS[0]))),
        (MaskMismatch, "has 9 frames", lambda: labels_of(LABELS, 0, 9)),
        (UsageError, "nothing-such", lambda: list(follow(request(weights="nothing-such")))),
        (MaskMismatch, "65535", lambda: list(follow(request(labels=LABELS[0].astype(np.int32) * 70000)))),
    ],
)
def test_what_cannot_be_tracked_is_said_in_words_of_the_layers(error, words, make):
    with pytest.raises(error, match=words):
        make()


def test_labels_of_one_frame_alone_are_those_of_the_frame_at_hand():
    assert np.array_equal(labels_of(LABELS[3], 1, COUNT), LABELS[3])
    assert np.array_equal(labels_of(LABELS, 1, COUNT), LABELS[1])
