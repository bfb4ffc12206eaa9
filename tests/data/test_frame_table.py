from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfvos.data.frame_table import Clock, FrameTable

TICK = Fraction(1, 1000)


def times(ticks, tick=TICK, fps=25.0):
    clock = Clock(tick, fps)
    return [clock.seconds(one) for one in ticks]


def test_times_count_from_the_first_frame():
    assert times([500, 540, 700, 5700]) == [0.0, 0.04, 0.2, 5.2]


def test_a_clock_that_goes_back_or_far_ahead_goes_on_at_the_frame_rate():
    assert times([1500, 1540, 10, 50]) == pytest.approx([0.0, 0.04, 0.08, 0.12])
    assert times([0, 40, 40 + 7_200_000, 80 + 7_200_000]) == pytest.approx([0.0, 0.04, 0.08, 0.12])


def test_times_in_a_little_disorder_keep_their_span():
    assert times([0, 80, 40, 160, 120, 200]) == [0.0, 0.08, 0.08, 0.16, 0.16, 0.2]


def test_frames_without_times_follow_at_the_frame_rate():
    assert times([None, None, None]) == [0.0, 0.04, 0.08]
    assert times([0, 1], tick=None) == [0.0, 0.04]
    assert times([7, 57, None, 157]) == pytest.approx([0.0, 0.05, 0.09, 0.15])


@given(st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=20), st.sampled_from([0.5, 25.0, 240.0]))
def test_times_never_go_back_nor_leap(ticks, fps):
    seconds = times(ticks, fps=fps)
    assert all(0 <= b - a <= 1000.001 for a, b in pairwise(seconds))
    assert seconds[:1] in ([], [0.0])


def table(keys: list[int], count: int = 40) -> FrameTable:
    ticks = np.arange(count, dtype=np.int64) * 10
    return FrameTable(
        ticks=ticks,
        seconds=ticks / 1000,
        keys=np.array(keys, np.int64),
        places=ticks[keys] - 3,
        sizes=np.array(keys, np.int64) + 100,
        partial=False,
    )


def test_frames_are_found_by_their_times():
    assert table([0]).number(130) == 13
    assert [table([0]).number(ticks) for ticks in (131, -10, 400, None)] == [None] * 4


def test_decoding_begins_at_the_key_frame_before_or_at_earlier_ones():
    keyed = table([0, 10, 20, 30])
    assert list(keyed.entries(30)) == [297, 197]
    assert list(keyed.entries(29)) == [197, 97]
    assert list(keyed.entries(9)) == [], "from the beginning of the file"


def test_a_part_begins_at_a_key_frame_where_one_is_near_enough():
    keyed = table([0, 10, 20, 30])
    assert keyed.begin(39, 25) == 20
    assert keyed.begin(39, 10) == 30
    assert keyed.begin(29, 5) == 25
    assert keyed.begin(3, 100) == 0
