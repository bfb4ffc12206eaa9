import pytest
import torch

from selfvos.api import threads
from selfvos.errors import UsageError


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("seconds", "chosen"), [({2: 1.0, 1: 1.9}, 2), ({2: 16.0, 1: 1.0}, 1), ({2: 1.0, 1: 0.95}, 2)])
def test_as_many_threads_as_help(monkeypatch, seconds, chosen):
    monkeypatch.setattr(threads, "_trial", lambda count: seconds[count])
    assert threads.use_threads() == torch.get_num_threads() == chosen


def test_who_says_how_many_is_obeyed(monkeypatch):
    monkeypatch.setattr(threads, "_trial", lambda _: pytest.fail("no trial is wanted"))
    assert threads.use_threads(1) == torch.get_num_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads.use_threads() == 1
    with pytest.raises(UsageError, match="threads"):
        threads.use_threads(0)


def test_the_trial_takes_a_moment():
    assert 0 < threads._trial(1) < 30
    assert torch.get_num_threads() == 1
