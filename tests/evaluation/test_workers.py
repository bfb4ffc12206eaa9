import threading

import pytest

from selfvos.errors import Stopped
from selfvos.evaluation.workers import in_threads
from selfvos.types import Watching, ignore


def test_results_come_in_order_whatever_the_number_of_threads():
    for workers in (1, 4, None):
        found = list(in_threads(lambda i: i * i, range(50), watch=ignore, stage="squares", workers=workers))
        assert found == [i * i for i in range(50)]


def test_progress_is_told_and_a_stop_leaves_the_rest_out():
    told, begun = [], []
    gate = threading.Semaphore(4)

    def work(i):
        gate.acquire(timeout=0.5)
        begun.append(i)
        return i

    watch = Watching(lambda *facts: told.append(facts), lambda: len(told) == 3)
    with pytest.raises(Stopped):
        for _ in in_threads(work, range(100), watch=watch, stage="work", workers=1):
            pass
    assert told == [("work", 1, 100), ("work", 2, 100), ("work", 3, 100)]
    assert len(begun) <= 5


def test_what_goes_wrong_in_a_thread_is_raised():
    def work(i):
        return 1 / (3 - i)

    with pytest.raises(ZeroDivisionError):
        list(in_threads(work, range(10), watch=ignore, stage="work"))
