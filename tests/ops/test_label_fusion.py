from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.alignment import AlignConfig, best_shifts, shifted_readout
from selfvos.ops.label_fusion import FusionConfig, Matched, fused
from selfvos.ops.labels import fold, unfold
from selfvos.ops.matching import Matches
from selfvos.ops.sparse_labels import LabelledFrames, carried, cut, joined, rounded, sparse

SCALE, GRID, ALIGN = 4, (6, 8), AlignConfig()
SIZE = GRID[0] * SCALE, GRID[1] * SCALE
CELLS = GRID[0] * GRID[1]


def scene(seed, objects=2, count=3):
    """Pictures of few colours, labels of some objects, and five matches a cell, one of which has no weight."""
    g = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 12, (count, *SIZE, 3), generator=g, dtype=torch.uint8) * 5
    soft = torch.zeros(count, objects + 1, *SIZE)
    for frame in soft:
        for channel in range(1, objects + 1):
            top, left = (int(torch.randint(0, side - 9, (), generator=g)) for side in SIZE)
            frame[channel, top : top + 9, left : left + 7] = torch.rand(9, 7, generator=g) / objects
    soft = (soft * 2**15).round() / 2**15
    soft[:, 0] = 1 - soft[:, 1:].sum(dim=1)
    index = torch.randint(0, count * CELLS, (CELLS, 5), generator=g)
    weight = torch.rand(index.shape, generator=g).softmax(dim=1)
    weight[::3, 1] = 0
    weight /= weight.sum(dim=1, keepdim=True)
    return pictures[0].roll(1, 1), pictures, soft, Matches(index, weight, weight)


def dense(picture, pictures, soft, matches, config):
    """Return labels as carried, and as fused."""
    labels = torch.cat([fold(frame[None], SCALE) for frame in soft])
    shifts = best_shifts(picture, pictures, labels, matches, SCALE, ALIGN)
    before = shifted_readout(labels, matches, shifts, SIZE, SCALE)
    return before, fused(before, labels, Matched(picture, pictures, matches, shifts, SCALE), config)


def maps(labels):
    return unfold(labels, GRID, SCALE)


@pytest.mark.parametrize("config", [FusionConfig(), FusionConfig(colour=0.1, reach=2, inertia=0.0, around_cells=1)])
@pytest.mark.parametrize("seed", range(5))
def test_kernel_and_torch_agree(seed, config):
    picture, pictures, soft, matches = scene(seed)
    before, expected = dense(picture, pictures, soft, matches, config)
    assert (before - expected).abs().max() > 0.01
    labels = joined([rounded(sparse(frame, SCALE)) for frame in soft])
    memory = LabelledFrames(pictures=pictures, labels=labels, scale=SCALE, channels=3)
    found = carried(picture, memory, matches, ALIGN, config)
    for channel, plane in enumerate(maps(expected)):
        part, top, left = cut(found, channel, GRID, SCALE, 0)
        whole = torch.zeros(SIZE)
        whole[top * SCALE :, left * SCALE :][: part.shape[0], : part.shape[1]] = part
        torch.testing.assert_close(whole, plane, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_probabilities(seed):
    found = maps(dense(*scene(seed), FusionConfig())[1])
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    torch.testing.assert_close(found.sum(dim=0), torch.ones(SIZE))


def lined(*columns, width=1):
    """A frame with a bright line of so many pixels on dark ground, in each row where it is said, and its labels."""
    picture, soft = torch.full((*SIZE, 3), 40, dtype=torch.uint8), torch.zeros(2, *SIZE)
    for row in range(SIZE[0]):
        first = columns[row % len(columns)]
        picture[row, first : first + width] = 200
        soft[1, row, first : first + width] = 1
    soft[0] = 1 - soft[1]
    return picture, soft


def still(count):
    """Matches of every cell with itself in all frames."""
    index = torch.arange(CELLS)[:, None] + CELLS * torch.arange(count)
    weight = torch.full(index.shape, 1 / count)
    return Matches(index, weight, weight)


def test_a_line_that_bends_within_cells_stays_sharp():
    """In each row it moves by something else, so that no shift of whole cells brings it where it is."""
    seen = [lined(13, 14, 13, 12), lined(13, 12, 14, 13), lined(12, 13, 13, 14), lined(14, 13, 12, 13)]
    pictures, soft = (torch.stack(x) for x in zip(*seen, strict=True))
    before, after = dense(pictures[0], pictures[1:], soft[1:], still(3), FusionConfig())
    line = soft[0, 1]
    assert maps(before)[1][line > 0].mean() < 0.7
    torch.testing.assert_close(maps(after)[1], line, atol=0.05, rtol=0)


def test_what_shares_the_colours_of_what_is_beside_it_keeps_its_area():
    """Where object and ground look alike but for noise, a vote of colours alone would hand out parts by chance."""
    g = torch.Generator().manual_seed(3)
    pictures = torch.randint(100, 130, (4, *SIZE, 3), generator=g, dtype=torch.uint8)
    soft = torch.stack([lined(10 + i % 2, width=9)[1] for i in range(4)])
    before, after = dense(pictures[0], pictures, soft, still(4), FusionConfig())
    assert (before - after).abs().max() > 0.1
    torch.testing.assert_close(maps(after)[1].sum(), maps(before)[1].sum(), rtol=0.02, atol=0)
    free = dense(pictures[0], pictures, soft, still(4), FusionConfig(around_cells=0))[1]
    torch.testing.assert_close(free[:, 16:].mean(dim=1), before[:, 16:].mean(dim=1), atol=0.1, rtol=0)


def test_cells_whose_matches_all_show_one_thing_stay_to_the_bit():
    pictures, soft = (torch.stack(x) for x in zip(lined(4), lined(4), strict=True))
    pictures[1] += 30
    before, after = dense(pictures[0], pictures, soft, still(2), FusionConfig())
    assert maps(after)[:, :, 16:].equal(maps(before)[:, :, 16:])
    empty = torch.stack([torch.ones(SIZE), torch.zeros(SIZE)]).repeat(2, 1, 1, 1)
    before, after = dense(pictures[0], pictures, empty, still(2), FusionConfig())
    assert after is before or after.equal(before)


def test_nothing_is_told_apart_in_a_picture_of_one_colour():
    _picture, pictures, soft, matches = scene(1)
    grey = torch.full_like(pictures, 128)
    before, after = dense(grey[0], grey, soft, matches, FusionConfig(reach=0))
    torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)


def test_cells_of_which_only_a_share_is_known_keep_that_share():
    picture, pictures, soft, matches = scene(2)
    before, after = dense(picture, pictures, 0.5 * soft, matches, FusionConfig())
    sums = (x.unflatten(1, (3, -1)).sum(dim=1) for x in (before, after))
    torch.testing.assert_close(*sums, atol=1e-5, rtol=1e-5)


def test_objects_far_away_change_nothing():
    picture, pictures, soft, matches = scene(4)
    one = dense(picture, pictures, soft, matches, FusionConfig())[1]
    more = F.pad(soft, (0, 0, 0, 0, 0, 2))
    torch.testing.assert_close(dense(picture, pictures, more, matches, FusionConfig())[1][:, : 3 * SCALE**2], one)


@pytest.mark.parametrize(
    "wrong", [{"colour": 0.0}, {"colour": float("inf")}, {"reach": -1}, {"inertia": -1.0}, {"around_cells": -1}]
)
def test_refuses_settings_that_mean_nothing(wrong):
    with pytest.raises(UsageError):
        replace(FusionConfig(), **wrong)
