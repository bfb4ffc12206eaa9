"""What trackers side by side share counts in full for each of them."""

import time

import numpy as np

from selfvos.api.benchmark_runs import _TimedCache, _TimedReading
from selfvos.types import Frame

WAIT_S = 0.05


def slowly():
    time.sleep(WAIT_S)
    return object()


def test_what_is_made_once_is_charged_to_all_that_ask_for_it():
    cache = _TimedCache()
    frames = [np.zeros((2, 2, 3), np.uint8) for _ in range(2)]
    for frame in frames:
        number = cache.number(frame)
        cache.spared_s = 0.0
        made = cache.once(number, "encoded", slowly)
        assert cache.spared_s == 0.0, "whoever makes it waits for it"
        assert cache.once(number, "encoded", slowly) is made
        assert WAIT_S <= cache.spared_s < 100 * WAIT_S
        cache.once(number, "matched", slowly)
        assert cache.spared_s < 100 * WAIT_S


def test_reading_is_charged_to_those_that_did_not_wait():
    def frames():
        for index in range(2):
            time.sleep(WAIT_S)
            yield Frame(np.zeros((2, 2, 3), np.uint8), index, str(index), 0.0)

    reading = _TimedReading(frames())
    assert [frame.index for frame in reading] == [0, 1]
    assert WAIT_S <= reading.last_s < 100 * WAIT_S
