from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.left_behind import LeaveConfig, Seen, left_behind, similarity_transform

GRID, CHANNELS = (20, 30), 32
CONFIG = LeaveConfig()


def world(seed=0):
    """Features of ground, wider than a frame, and of a thing of 8 x 9 cells: smooth, so that neighbours are alike."""
    g = torch.Generator().manual_seed(seed)
    shapes = (GRID[0], GRID[1] + 30), (8, 9)
    rough = [torch.randn(1, CHANNELS, *shape, generator=g) for shape in shapes]
    return [F.normalize(features[0].permute(1, 2, 0), dim=2) for features in rough]


def seen(column, camera=0, residue=(), seed=0):
    """A frame in which the camera has moved so far, the thing lies at a column, and some ground is taken for it."""
    ground, thing = world(seed)
    features = ground[:, camera : camera + GRID[1]].clone()
    objects = torch.zeros(1, 1, *GRID)
    left = column - camera
    features[6:14, left : left + 9] = thing
    objects[0, 0, 6:14, left : left + 9] = 1
    for row, place in residue:
        objects[0, 0, row, place - camera] = 0.9
    return Seen(features[None], objects)


RESIDUE = [(row, column) for row in range(7, 13) for column in range(4, 11)]


@pytest.mark.parametrize("camera", [0, 3])
def test_ground_that_a_thing_left_is_ground(camera):
    then, now = seen(11, 0, RESIDUE), seen(19, camera, RESIDUE)
    gone = left_behind(now, then, seen(5), CONFIG)[0]
    expected = torch.zeros(GRID, dtype=torch.bool)
    for row, column in RESIDUE:
        expected[row, column - camera] = True
    assert (gone & ~expected).sum() == 0
    assert (gone & expected).sum() >= 0.8 * expected.sum()


def test_a_thing_keeps_what_moves_with_it_and_all_that_stands_still():
    assert not left_behind(seen(19), seen(11), seen(5), CONFIG).any()
    assert not left_behind(seen(11, 0, RESIDUE), seen(11, 0, RESIDUE), seen(11), CONFIG).any(), "nothing moved"
    assert not left_behind(seen(12, 0, RESIDUE), seen(11, 0, RESIDUE), seen(11), CONFIG).any(), "by too little"
    farther = replace(CONFIG, away_cells=9.0)
    assert not left_behind(seen(19, 0, RESIDUE), seen(11, 0, RESIDUE), seen(5), farther).any()


def test_what_is_like_the_thing_where_its_mask_was_given_stays_its_own():
    """As feet that stand while the body walks on."""
    given = seen(19, 0, RESIDUE)
    assert not left_behind(seen(19, 0, RESIDUE), seen(11, 0, RESIDUE), given, CONFIG).any()


def test_thin_parts_stay():
    """Legs that stand while a body walks are thin."""
    leg = [(row, column) for row in range(7, 13) for column in (9, 10)]
    assert not left_behind(seen(19, 0, leg), seen(11, 0, leg), seen(5), CONFIG).any()


def test_each_object_is_looked_at_by_itself():
    def both(column, residue):
        one, other = seen(column, 0, residue), torch.zeros(1, 1, *GRID)
        other[0, 0, 0:4, 20:26] = 1
        return Seen(one.features, torch.cat([other, one.objects], dim=1))

    alone = left_behind(seen(19, 0, RESIDUE), seen(11, 0, RESIDUE), seen(5), CONFIG)
    gone = left_behind(both(19, RESIDUE), both(11, RESIDUE), both(5, []), CONFIG)
    assert not gone[0].any()
    assert gone[1].any()
    assert gone[1].equal(alone[0])
    none = Seen(seen(19).features, torch.zeros(1, 0, *GRID))
    assert left_behind(none, none, none, CONFIG).shape == (0, *GRID)


def test_things_without_features_are_left_alone():
    """A frame of one colour has whitened features of 0: nothing is like anything."""
    flat = Seen(torch.zeros(1, *GRID, CHANNELS), seen(19, 0, RESIDUE).objects)
    assert not left_behind(flat, flat, flat, CONFIG).any()


@pytest.mark.parametrize("seed", range(3))
def test_most_points_say_how_all_moved(seed):
    rng = np.random.default_rng(seed)
    here = rng.uniform(0, 100, 60) + 1j * rng.uniform(0, 60, 60)
    turn, shift = 1.1 * np.exp(0.2j), 5 - 3j
    there = turn * here + shift
    there[:24] += rng.uniform(8, 50, 24) * np.exp(1j * rng.uniform(0, 6.28, 24))
    found_turn, found_shift, share = similarity_transform(here, there)
    assert abs(found_turn - turn) < 1e-6
    assert abs(found_shift - shift) < 1e-4
    assert share == pytest.approx(0.6)


def test_one_place_has_no_turn():
    turn, shift, share = similarity_transform(np.full(9, 3 + 4j), np.full(9, 5 + 4j))
    assert (turn, shift, share) == (1, 2, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 5},
        {"every": 0},
        {"away_cells": 0.0},
        {"around_cells": 0},
        {"reach_cells": 0.0},
        {"away_cells": float("inf")},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError, match="must be"):
        LeaveConfig(**wrong)
