import pytest
import torch

from selfvos.errors import UsageError
from selfvos.ops.guided_filter import filter_labels


def disc(side: int = 64) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return ((y - side / 2) ** 2 + (x - side / 2) ** 2 < (side / 4) ** 2).long()


def blocky(labels: torch.Tensor, cell: int = 8) -> torch.Tensor:
    return labels[cell // 2 :: cell, cell // 2 :: cell].repeat_interleave(cell, 0).repeat_interleave(cell, 1)


def test_a_blocky_outline_comes_closer_to_the_edge_in_the_picture():
    truth = disc()
    frames = torch.where(truth.bool(), 0.8, 0.3).expand(3, -1, -1) + 0.02 * torch.randn(3, 64, 64)
    given = blocky(truth)
    found = filter_labels(frames[None], given[None], radius_px=8)[0]
    assert (given != truth).float().mean() > 0.03
    assert (found != truth).float().mean() < 0.01


def test_labels_of_an_even_picture_stay_where_they_are():
    given = torch.zeros(1, 64, 64, dtype=torch.int64)
    given[:, :, 24:] = 1
    given[:, :, 48:] = 2
    assert torch.equal(filter_labels(torch.full((1, 3, 64, 64), 0.5), given, radius_px=6), given)


def test_it_keeps_labels_and_odd_sizes():
    torch.manual_seed(0)
    given = torch.randint(0, 3, (2, 33, 47))
    found = filter_labels(torch.rand(2, 3, 33, 47), given, radius_px=3)
    assert found.shape == given.shape
    assert set(found.unique().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("settings", [{"radius_px": 0}, {"radius_px": 3, "epsilon": 0.0}])
def test_settings_are_checked(settings: dict[str, float]):
    with pytest.raises(UsageError):
        filter_labels(torch.rand(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64), **settings)
