import threading
import time

import pytest

import selfvos.data.ahead as module
from selfvos.data.ahead import ahead


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "selfvos-ahead"]


@pytest.fixture(autouse=True)
def nobody_elses():
    """Wait for threads that other tests left in the midst of an item: they end with it."""
    deadline = time.monotonic() + 20
    while workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not workers(), "a test before this one has left an iteration open"


def test_everything_comes_in_order():
    assert list(ahead(range(100), 3)) == list(range(100))
    assert list(ahead([])) == []
    assert list(ahead([None, 0])) == [None, 0]


def test_fetching_stays_a_few_items_ahead():
    fetched = []

    def items():
        for i in range(20):
            fetched.append(i)
            yield i

    running = ahead(items(), 2)
    assert fetched == []
    next(running)
    deadline = time.monotonic() + 5
    while len(fetched) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(fetched) == 3, "one handed out, two waiting"
    assert list(running) == list(range(1, 20))


def test_an_error_comes_where_the_item_would_have():
    def items():
        yield 1
        raise ValueError("broken frame")

    running = ahead(items())
    assert next(running) == 1
    with pytest.raises(ValueError, match="broken frame"):
        next(running)


def test_leaving_early_ends_the_thread():
    running = ahead(iter(range(10**9)))
    next(running)
    assert workers()
    running.close()
    assert not workers()


def test_threads_within_threads_end_with_the_outermost():
    running = ahead(map(str, ahead(iter(range(10**9)))), 1)
    assert next(running) == "0"
    assert len(workers()) == 2
    running.close()
    assert not workers()


def test_no_thread_is_at_work_when_the_process_ends():
    running = ahead(iter(range(10**9)))
    next(running)
    module._leave_all()
    assert not workers()
    running.close()
