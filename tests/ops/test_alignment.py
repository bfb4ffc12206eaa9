import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.alignment import (
    AlignConfig,
    aligned_readout,
    best_shifts,
    best_shifts_plain,
    shifted_readout,
    shifted_readout_plain,
    shrink,
)
from selfvos.ops.matching import Matches
from selfvos.ops.propagation import readout

SCALE = 4


def _fold(maps: Tensor) -> Tensor:
    return F.pixel_unshuffle(maps, SCALE).flatten(2).transpose(1, 2).flatten(0, 1)


def _example(seed: int, frames: int = 3, objects: int = 2, grid: tuple[int, int] = (4, 5)) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    size = grid[0] * SCALE, grid[1] * SCALE
    pictures = torch.randint(0, 256, (frames, *size, 3), generator=g, dtype=torch.uint8)
    picture = pictures[0].roll(1, 0)
    hard = F.interpolate(torch.rand(frames, objects + 1, *grid, generator=g), scale_factor=SCALE, mode="bilinear")
    labels = _fold((hard * 30).softmax(dim=1))
    index = torch.randint(0, frames * grid[0] * grid[1], (grid[0] * grid[1], 3), generator=g)
    weight = torch.rand(index.shape, generator=g).softmax(dim=1)
    return picture, pictures, labels, index, weight


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reach", [1, 2])
def test_kernel_and_torch_agree(seed, reach):
    picture, pictures, labels, index, weight = _example(seed)
    arguments = picture, pictures, labels, Matches(index, weight, weight), SCALE, AlignConfig(reach=reach)
    shifts, size = best_shifts(*arguments), (picture.shape[0], picture.shape[1])
    assert shifts.any()
    torch.testing.assert_close(shifts, best_shifts_plain(*arguments))
    found = labels, Matches(index, weight, weight), shifts, size, SCALE
    torch.testing.assert_close(shifted_readout(*found), shifted_readout_plain(*found))
    torch.testing.assert_close(shifted_readout(*found), aligned_readout(*arguments))


def test_a_frame_that_moved_by_one_label_takes_its_labels_along():
    g = torch.Generator().manual_seed(0)
    before = torch.randint(0, 256, (1, 16, 20, 3), generator=g, dtype=torch.uint8)
    labels = torch.rand(1, 2, 16, 20, generator=g).softmax(dim=1)
    now = before[0].roll((1, -1), (0, 1))
    matches = Matches(torch.arange(20)[:, None], torch.ones(20, 1), torch.ones(20, 1))
    found = aligned_readout(now, before, _fold(labels), matches, SCALE, AlignConfig())
    expected = _fold(labels.roll((1, -1), (2, 3))).unflatten(0, (4, 5))
    torch.testing.assert_close(found.unflatten(0, (4, 5))[1:3, 1:4], expected[1:3, 1:4])


def test_without_anything_to_see_labels_stay():
    picture, pictures, labels, index, weight = _example(1)
    grey = torch.full_like(pictures, 128)
    matches = Matches(index, weight, weight)
    found = aligned_readout(grey[0], grey, labels, matches, SCALE, AlignConfig())
    torch.testing.assert_close(found, readout(labels, matches))
    assert not torch.allclose(found, aligned_readout(picture, pictures, labels, matches, SCALE, AlignConfig()))


def test_labels_still_sum_to_one():
    picture, pictures, labels, index, weight = _example(2)
    found = aligned_readout(picture, pictures, labels, Matches(index, weight, weight), SCALE, AlignConfig(reach=2))
    torch.testing.assert_close(found.unflatten(1, (3, -1)).sum(dim=1), torch.ones(20, SCALE**2))


def test_a_frame_is_shrunk_to_one_pixel_a_label():
    image = torch.zeros(1, 3, 8, 12)
    image[:, :, :2, :2] = 1
    image[:, 0, 2, 4] = 1
    small = shrink(image, 2)
    assert small.shape == (4, 6, 3)
    assert small[0, 0].tolist() == [255, 255, 255]
    assert small[1, 2].tolist() == [64, 0, 0]


@pytest.mark.parametrize("wrong", [{"reach": 0}, {"inertia": -1.0}])
def test_refuses_settings_that_mean_nothing(wrong):
    with pytest.raises(UsageError):
        AlignConfig(**wrong)
