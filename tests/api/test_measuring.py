import pytest

from selfvos.api import measuring
from selfvos.errors import Stopped
from selfvos.types import Watching


@pytest.fixture
def small(monkeypatch):
    """Few small frames: what is measured is then worth nothing, how it is put together is the same."""
    for name, value in {"HEIGHT": 360, "WIDTH": 600, "FULL": 1, "TIMED": 1}.items():
        monkeypatch.setattr(measuring, name, value)


def test_a_row_has_a_time_for_each_quality_that_the_weights_know(small):
    told = []
    watch = Watching(lambda stage, done, total: told.append((stage, done, total)))
    found = measuring.measure_machine(device="cpu", watch=watch)
    assert list(found.seconds_per_frame) == ["fast", "balanced", "best"]
    assert all(0 < seconds < 60 for seconds in found.seconds_per_frame.values())
    assert told == [("measuring", done, 6) for done in range(1, 7)]
    assert found.cores >= 1
    assert found.device == "cpu"


def test_a_row_is_one_line_of_a_table():
    speed = measuring.MachineSpeed(
        processor="Example 9", cores=4, device="cpu", system="Linux x86_64", versions="selfvos 1, torch 2", load=None,
        seconds_per_frame={"fast": 0.061, "balanced": 0.4, "best": 0.4},
    )  # fmt: skip
    assert speed.row() == ("| Example 9 | 4 | cpu | Linux x86_64 | selfvos 1, torch 2 | unknown | 0.06 | 0.40 | 0.40 |")


def test_it_can_be_stopped(small):
    with pytest.raises(Stopped):
        measuring.measure_machine(device="cpu", watch=Watching(asked=lambda: True))


def test_no_two_frames_are_the_same(small):
    first, second = measuring._frames()
    assert (first.rgb != second.rgb).mean() > 0.2
