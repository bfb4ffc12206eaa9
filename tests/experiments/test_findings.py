import numpy as np
import pytest

from selfvos.evaluation.comparison import Difference
from selfvos.experiments.ablation import in_percent, spread, verdict
from selfvos.experiments.findings import agreement, compactness
from selfvos.experiments.forecast import spell


def test_clusters_agree_whatever_their_names():
    maps = np.arange(24, dtype=np.uint8).reshape(1, 4, 6) % 3
    assert agreement(maps, (maps + 1) % 3) == 1.0
    other = maps.copy()
    other[0, 0, :3] = (other[0, 0, :3] + 1) % 3
    assert agreement(maps, other) == pytest.approx(21 / 24)


def test_a_cluster_in_two_pieces_is_less_compact():
    maps = np.zeros((2, 4, 6), np.uint8)
    assert compactness(maps) == 1.0
    maps[:, :, 2] = 1  # cuts cluster 0 into pieces of 8 and 12 cells
    assert compactness(maps) == pytest.approx((12 + 4) / 24)


@pytest.mark.parametrize(
    ("low", "high", "videos", "said"),
    [
        (0.01, 0.03, 20, "better"),
        (-0.03, -0.01, 20, "worse"),
        (-0.001, 0.007, 20, "undecided"),
        (0.01, 0.03, 5, "undecided"),
        (float("nan"), float("nan"), 1, "undecided"),
    ],
)
def test_a_difference_is_a_win_only_where_its_interval_says_so(low, high, videos, said):
    difference = Difference(mean=0.003, low=low, high=high, ahead=1, videos=videos)
    assert verdict(difference) == said


def test_numbers_are_spelt_in_percent():
    difference = Difference(mean=0.003, low=-0.0012, high=0.0074, ahead=1, videos=9)
    assert in_percent(difference) == "+0.3 [-0.1, +0.7]"
    assert in_percent(None) == ""
    assert spread([50.0]) == "50.0"
    assert spread([50.0, 52.0]) == "51.0 ± 1.4"


def test_times_are_spelt_roughly():
    assert [spell(seconds) for seconds in (0.2, 60.0, 600.0, 36000.0)] == [
        "about 1 s",
        "about 60 s",
        "about 10 min",
        "about 10.0 h",
    ]
