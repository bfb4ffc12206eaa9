import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfvos.data.spans import backwards, most_held, span
from selfvos.errors import UsageError
from selfvos.types import Frame

NUMBERS = st.integers(0, 40)


@given(count=st.integers(1, 40), start=NUMBERS, stop=st.none() | NUMBERS, step=st.sampled_from([-3, -2, -1, 1, 2, 3]))
def test_a_span_is_what_a_slice_would_be(count, start, stop, step):
    if start >= count:
        with pytest.raises(UsageError, match=f"no frame {start}: it has {count}"):
            span(start, stop, step, count=count, name="v")
    else:
        expected = list(range(count))[start:stop:step]
        assert list(span(start, stop, step, count=count, name="v")) == expected
    assert list(span(None, None, step, count=count, name="v")) == list(range(count))[::step]


@given(start=NUMBERS, stop=st.integers(-1, 40), step=st.integers(1, 5), most=st.integers(1, 12))
def test_reading_part_by_part_is_reading_backwards(start, stop, step, most):
    asked: list[range] = []

    def read(part):
        asked.append(part)
        for index in part:
            yield Frame(rgb=np.zeros((1, 1, 3), np.uint8), index=index, name="", seconds=0.0)

    wanted = range(start, stop, -step)
    got = [frame.index for frame in backwards(wanted, read, lambda last: max(0, last + 1 - most))]
    assert got == list(wanted)
    assert all(len(part) <= most for part in asked)


def test_what_is_held_is_bounded_in_bytes_and_never_too_little():
    assert most_held((480, 854)) * 480 * 854 * 3 <= 2**27
    assert most_held((8192, 8192)) == 8
