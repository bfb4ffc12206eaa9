import math

import pytest
import torch
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.whitening import WhitenConfig, fit_whitening


@pytest.fixture
def lopsided():
    """Features that vary a hundred times as much along the first direction as along the others, far from 0."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 30, 8, generator=generator) * torch.tensor([10.0] + [0.1] * 7) + 5


def test_directions_count_alike_once_whitened(lopsided):
    fitted = fit_whitening(lopsided, WhitenConfig(shrinkage=1e-6))
    cells = ((lopsided - fitted.mean) @ fitted.matrix).flatten(0, 1)
    covariance = cells.T @ cells / len(cells)
    scale = covariance.diagonal().mean()
    torch.testing.assert_close(covariance / scale, torch.eye(8), atol=2e-2, rtol=0)
    assert cells.mean(dim=0).abs().max() < 1e-3 * math.sqrt(scale)


def cosines(cells):
    return cells.flatten(0, 1) @ cells.flatten(0, 1).T


def test_much_shrinkage_only_takes_the_mean_off(lopsided):
    centred = F.normalize(lopsided - lopsided.flatten(0, 1).mean(dim=0), dim=-1)
    found = fit_whitening(lopsided, WhitenConfig(shrinkage=1e6))(lopsided)
    torch.testing.assert_close(cosines(found), cosines(centred), atol=1e-4, rtol=0)


def test_the_directions_of_most_variance_are_kept(lopsided):
    fitted = fit_whitening(lopsided, WhitenConfig(channels=1))
    assert fitted.matrix.shape == (8, 1)
    assert fitted.matrix[0].abs() > 100 * fitted.matrix[1:].abs().max()
    assert fitted(lopsided).shape == (20, 30, 1)


def test_what_strong_directions_hid_is_found_again():
    """Cells are of sixteen kinds, which small channels tell, while three strong ones change with the light."""
    generator = torch.Generator().manual_seed(1)
    kind = torch.arange(64) % 16
    before, after = (
        torch.cat([torch.randn(64, 3, generator=generator), 0.15 * F.one_hot(kind).float()], dim=1)[None]
        for _ in range(2)
    )
    whiten = fit_whitening(before, WhitenConfig(shrinkage=1e-3))

    def right(query, memory):
        return (kind[(query[0] @ memory[0].T).argmax(dim=1)] == kind).float().mean().item()

    assert right(F.normalize(after, dim=-1), F.normalize(before, dim=-1)) < 0.6
    assert right(whiten(after), whiten(before)) > 0.95


def test_cells_have_unit_length_in_other_frames_too(lopsided):
    torch.testing.assert_close(
        fit_whitening(lopsided, WhitenConfig())(lopsided.flip(1) * 3).norm(dim=-1), torch.ones(20, 30)
    )


def test_a_frame_of_one_colour_gives_nothing_to_learn_and_no_error():
    flat = torch.full((4, 4, 8), 0.3)
    whiten = fit_whitening(flat, WhitenConfig())
    found = whiten(flat)
    assert found.isfinite().all()
    assert (found == found[0, 0]).all()
    # Where nothing varied, all directions count alike: another frame is compared as it would be without whitening.
    other = torch.randn(4, 4, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cosines(whiten(other)), cosines(F.normalize(other - 0.3, dim=-1)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shrinkage", [0.0, -1.0, math.nan, math.inf])
def test_shrinkage_must_be_above_0(shrinkage):
    with pytest.raises(UsageError, match="shrinkage must be > 0"):
        WhitenConfig(shrinkage=shrinkage)


def test_one_channel_at_least_is_kept():
    with pytest.raises(UsageError, match="channels must be at least 1"):
        WhitenConfig(channels=0)
