import numpy as np
import pytest
import torch
from torch.nn import functional as F

from selfvos.ops.alignment import AlignConfig, aligned_readout
from selfvos.ops.contact import drop_apart, without
from selfvos.ops.labels import fold, stretch, unfold
from selfvos.ops.matching import Matches
from selfvos.ops.sparse_labels import (
    LabelledFrames,
    SparseLabels,
    background,
    carried,
    cut,
    joined,
    of_known,
    rounded,
    sparse,
    spliced,
    stretched,
    together,
)

SCALE, GRID, CHANNELS = 4, (5, 7), 4


def maps(seed: int) -> torch.Tensor:
    """Three objects on a few cells each, in whole steps of 1 / 32768, so that memory has them as they are."""
    generator = torch.Generator().manual_seed(seed)
    soft = torch.zeros(CHANNELS, GRID[0] * SCALE, GRID[1] * SCALE)
    for channel in range(1, CHANNELS):
        top, left = (int(torch.randint(0, side - 9, (), generator=generator)) for side in soft.shape[1:])
        soft[channel, top : top + 9, left : left + 7] = torch.rand(9, 7, generator=generator) / 3
    soft = (soft * 2**15).round() / 2**15
    soft[0] = 1 - soft[1:].sum(dim=0)
    return soft


def whole(labels: SparseLabels) -> torch.Tensor:
    """Return the maps that labels stand for."""
    found = torch.zeros(CHANNELS, GRID[0] * SCALE, GRID[1] * SCALE)
    for channel in range(CHANNELS):
        part, top, left = cut(labels, channel, GRID, SCALE, 0)
        found[channel, top * SCALE :, left * SCALE :][: part.shape[0], : part.shape[1]] = part
    return found


def frames(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], Matches]:
    """Return a picture, those of memory, their labels, and matches."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randint(
        0, 256, (count, GRID[0] * SCALE, GRID[1] * SCALE, 3), generator=generator, dtype=torch.uint8
    )
    index = torch.randint(0, count * GRID[0] * GRID[1], (GRID[0] * GRID[1], 5), generator=generator)
    weight = torch.rand(index.shape, generator=generator).softmax(dim=1)
    weight[::3, 1] = 0
    return pictures[0].roll(1, 1), pictures, [maps(seed + i) for i in range(count)], Matches(index, weight, weight)


def test_nothing_is_left_out_but_what_is_zero():
    labels = sparse(maps(0), SCALE)
    assert torch.equal(whole(labels), maps(0))
    assert labels.values[labels.channel > 0].any(axis=1).all()
    assert len(labels.channel) < 0.6 * CHANNELS * GRID[0] * GRID[1]
    assert torch.equal(background(labels, GRID, SCALE)[0], maps(0)[:1])


def test_memory_rounds_to_fine_steps_and_drops_what_rounds_to_nothing():
    soft = torch.rand(CHANNELS, GRID[0] * SCALE, GRID[1] * SCALE) / CHANNELS
    soft[1, :8] = 1e-6
    labels = rounded(sparse(soft, SCALE))
    assert labels.values.dtype == np.uint16
    assert len(labels.of(1)) == (GRID[0] - 2) * GRID[1]
    torch.testing.assert_close(whole(labels) / 2**15, soft, atol=2**-16, rtol=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reach", [1, 2, 5])
def test_carrying_is_that_of_whole_maps_to_the_bit(seed, reach):
    picture, pictures, labels, matches = frames(3, seed)
    dense = torch.cat([fold(one[None], SCALE) for one in labels])
    wanted = aligned_readout(picture, pictures, dense, matches, SCALE, AlignConfig(reach=reach))
    memory = joined([rounded(sparse(one, SCALE)) for one in labels])
    known = LabelledFrames(pictures=pictures, labels=memory, scale=SCALE, channels=CHANNELS)
    found = carried(picture, known, matches, AlignConfig(reach=reach))
    assert torch.equal(whole(found), unfold(wanted, GRID, SCALE))
    for first, last in zip(found.start[:-1], found.start[1:], strict=True):
        assert found.channel[first] == 0
        assert (np.diff(found.channel[first:last]) > 0).all()


def test_contrast_is_restored_as_in_whole_maps():
    soft = maps(1) * torch.tensor([1, 0.4, 2.4, 2.4]).view(-1, 1, 1)
    found = whole(stretched(sparse(soft, SCALE), CHANNELS, 0.5))
    torch.testing.assert_close(found, stretch(soft, 0.5), atol=1e-7, rtol=1e-6)


def test_shares_of_what_was_found_with_a_label():
    soft = maps(2)
    soft[0, :8] = 0
    found = whole(of_known(sparse(soft, SCALE)))
    known = soft.sum(dim=0)
    assert torch.equal(found[0][known == 0], torch.ones(int((known == 0).sum())))
    torch.testing.assert_close(found[:, known > 0], (soft / known)[:, known > 0])


@pytest.mark.parametrize("reach", [0.0, 1.0, 2.5, 9.0])
def test_parts_that_appear_apart_go_to_the_background(reach):
    now, before = torch.zeros(2, CHANNELS, GRID[0] * SCALE, GRID[1] * SCALE)
    before[1, :8, :8] = before[2, 12:, 20:] = 1
    now[1, :8, :8] = now[1, 4:8, 16:20] = now[1, 16:, 24:] = 0.75
    now[2, 12:, 12:20] = 0.25
    now[3, :4, 24:] = 1
    for soft in (now, before):
        soft[0] = 1 - soft[1:].sum(dim=0)
    apart = drop_apart(F.avg_pool2d(now[1:], SCALE), F.avg_pool2d(before[1:], SCALE), reach)
    found = together(sparse(now, SCALE), sparse(before, SCALE), reach, GRID, CHANNELS)
    assert torch.equal(whole(found), without(now, apart))
    assert apart.any() == (reach < 9)


def test_frames_take_the_place_of_others():
    labels = [sparse(maps(seed), SCALE) for seed in range(4)]
    cells = GRID[0] * GRID[1]
    memory = spliced(joined(labels[:3]), slice(cells, 2 * cells), labels[3])
    for place, wanted in enumerate((0, 3, 2)):
        assert torch.equal(whole(memory.part(slice(place * cells, (place + 1) * cells))), maps(wanted))
    longer = spliced(memory, slice(3 * cells, 3 * cells), labels[1])
    assert torch.equal(whole(longer.part(slice(3 * cells, 4 * cells))), maps(1))
