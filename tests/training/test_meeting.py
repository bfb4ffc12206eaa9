import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from selfvos.training.meeting import private_store


def meet(store, ranks, size):
    with ThreadPoolExecutor(len(ranks)) as pool:
        found = pool.map(lambda rank: private_store(store, rank, size, seconds=20.0), ranks)
        return list(found)


def test_all_processes_get_one_part_of_the_store():
    first, second, third = meet(HashStore(), [0, 1, 2], 3)
    first.set("address", "here")
    assert second.get("address") == third.get("address") == b"here"


def test_nobody_reads_what_an_earlier_attempt_left():
    store = HashStore()
    meet(store, [0, 1], 2)[1].set("address", "dead")
    first, second = meet(store, [0, 1], 2)
    assert not first.check(["address"])
    second.set("address", "alive")
    assert first.get("address") == b"alive"


def test_who_comes_late_is_waited_for_although_the_dead_one_is_still_signed_in():
    store = HashStore()
    meet(store, [0, 1], 2)

    def called():
        return json.loads(store.get("roll"))["0"]

    before = called()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(private_store, store, 0, 2, seconds=20.0)
        while called() == before:
            assert not first.done()
        time.sleep(0.3)
        assert not first.done(), "the dead cannot answer"
        second = pool.submit(private_store, store, 1, 2, seconds=20.0)
        second.result().set("address", "alive")
        assert first.result().get("address") == b"alive"


def test_waiting_ends():
    with pytest.raises(TimeoutError, match="process 0 of 2"):
        private_store(HashStore(), 0, 2, seconds=0.1)
