import threading

import pytest
import torch

from selfvos.ops.threads import computing, kernel_threads, shared_out


def test_kernels_have_as_many_threads_as_torch_unless_someone_says():
    before = torch.get_num_threads()
    with computing(2):
        assert (torch.get_num_threads(), kernel_threads()) == (2, 2)
        with computing(1, kernels=lambda: 3):
            assert (torch.get_num_threads(), kernel_threads()) == (1, 3)
        assert (torch.get_num_threads(), kernel_threads()) == (2, 2)
    assert (torch.get_num_threads(), kernel_threads()) == (before, before)


def test_an_error_gives_threads_back():
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="broken"), computing(3, kernels=lambda: 4):
        raise ValueError("broken")
    assert (torch.get_num_threads(), kernel_threads()) == (before, before)


def test_other_threads_compute_as_before():
    ready, told, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        seen.append(torch.get_num_threads())
        ready.set()
        told.wait(5)
        seen.extend((torch.get_num_threads(), kernel_threads()))

    beside = threading.Thread(target=other)
    with computing(2):
        beside.start()
        ready.wait(5)
        with computing(1, kernels=lambda: 4):
            told.set()
            beside.join()
    assert seen == [2, 2, 2]


@pytest.mark.parametrize("threads", [1, 3])
def test_work_is_done_once_with_one_thread_of_torch_each(threads):
    left, done, lock = list(range(200)), [], threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not left:
                    return
                done.append((left.pop(), torch.get_num_threads()))

    with computing(threads):
        shared_out(work)
        assert torch.get_num_threads() == threads
    assert sorted(one for one, _ in done) == list(range(200))
    assert {count for _, count in done} == {1}


def test_an_error_in_any_thread_comes_out():
    def work() -> None:
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("broken piece")

    with computing(2), pytest.raises(ValueError, match="broken piece"):
        shared_out(work)


def test_threads_to_come_compute_as_all_did():
    with computing(2):
        shared_out(lambda: None)
        seen = []
        new = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        new.start()
        new.join()
    assert seen == [2]
