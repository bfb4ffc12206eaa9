import pytest
import torch

from selfvos.errors import UsageError
from selfvos.tracking.labels import stretch
from selfvos.tracking.settings import LabelConfig, TrackConfig


def faded() -> torch.Tensor:
    """Background, an object that faded to 0.7 at most, and one of which 0.2 is left."""
    maps = torch.zeros(3, 4, 4)
    maps[1, 1, 1], maps[1, 1, 2] = 0.7, 0.42
    maps[2, 3, 3] = 0.2
    maps[0] = 1 - maps[1:].sum(dim=0)
    return maps


def test_a_faded_object_is_sure_again_and_wins_where_it_was_close():
    maps = faded()
    found = stretch(maps, 0.5)
    assert maps[:, 1, 2].argmax() == 0
    assert found[:, 1, 2].argmax() == 1
    assert found[1, 1, 1] == 1
    assert found[0].amin() == 0


def test_what_is_lost_stays_lost():
    found = stretch(faded(), 0.5)
    assert found[2].amax() < 0.5
    assert stretch(faded(), 0.1)[2].amax() > 0.5


def test_channels_sum_to_one_and_sure_labels_stay_as_they_are():
    torch.testing.assert_close(stretch(faded(), 0.5).sum(dim=0), torch.ones(4, 4))
    sure = torch.zeros(2, 4, 4)
    sure[1, :2], sure[0, 2:] = 1, 1
    assert torch.equal(stretch(sure, 0.5), sure)


@pytest.mark.parametrize(
    "settings",
    [
        {"lost_below": 0.0},
        {"labels": LabelConfig(min_max="carried")},
        {"labels": LabelConfig(down="nearest", hard=True)},
    ],
)
def test_what_does_not_go_together_is_refused(settings):
    with pytest.raises(UsageError, match="stretch goes with"):
        TrackConfig(rounds=0, stretch=True, **settings)
