import time

import numpy as np
import pytest
from tests import tiny

from selfvos.errors import UsageError
from selfvos.napari_plugin.layers import LayerFrames, Request
from selfvos.napari_plugin.running import Running

MOVIE = np.stack([tiny.picture(t % 8) for t in range(40)])


def request(**changes):
    frames = LayerFrames(MOVIE, (0.0, 255.0), rgb=True)
    return Request(**{"frames": frames, "frame": 0, "labels": tiny.truth(0), "weights": "lab-patches", **changes})


def until(running, enough):
    found, deadline = [], time.monotonic() + 60
    while not enough(found) and not running.over() and time.monotonic() < deadline:
        found += running.take()
        time.sleep(0.01)
    return found


def test_all_frames_come_in_order_and_then_it_is_over():
    running = Running(request(frame=35, labels=tiny.truth(3)))
    found = until(running, lambda _: False)
    assert [index for index, _ in found] == [35, 36, 37, 38, 39]
    assert running.over()
    assert running.error is None


def test_it_stops_when_asked_and_does_not_run_far_ahead():
    running = Running(request())
    found = until(running, lambda found: len(found) >= 2)
    running.stop()
    assert running.stopped
    found += until(running, lambda _: False)
    assert 2 <= len(found) < 40
    assert running.error is None


@pytest.mark.parametrize("weights", ["no-such-weights"])
def test_what_goes_wrong_is_told(weights):
    running = Running(request(weights=weights))
    assert until(running, lambda _: False) == []
    assert isinstance(running.error, UsageError)
