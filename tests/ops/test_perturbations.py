import math

import pytest
import torch

from selfvos.ops.perturbations import perturb


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def labels():
    masks = torch.zeros(64, 40, 40, dtype=torch.long)
    masks[:, 8:24, 8:24] = 1
    masks[:, 26:38, 22:38] = 2
    return masks


def test_no_share_no_flaw(labels):
    assert perturb(labels, 2, 0.0, draws()).equal(labels)


def test_flaws_follow_from_the_generator(labels):
    assert perturb(labels, 2, 1.0, draws(3)).equal(perturb(labels, 2, 1.0, draws(3)))
    assert not perturb(labels, 2, 1.0, draws(3)).equal(perturb(labels, 2, 1.0, draws(4)))


def test_about_half_lose_a_side_and_half_gain_one(labels):
    before = (labels == 1).flatten(1).sum(dim=1)
    after = (perturb(labels, 1, 1.0, draws()) == 1).flatten(1).sum(dim=1)
    lost, gained = after < before, after > before
    assert (lost | gained).float().mean() > 0.9
    assert 0.25 < lost.float().mean() < 0.75
    assert (after >= 0.2 * before).all()
    assert (after <= 1.7 * before).all()


def test_a_share_leaves_the_rest_alone(labels):
    changed = (perturb(labels, 1, 0.5, draws()) != labels).flatten(1).any(dim=1)
    assert 0.25 < changed.float().mean() < 0.75


def test_an_object_never_takes_a_place_from_another(labels):
    flawed = perturb(labels, 2, 1.0, draws())
    assert not ((labels == 1) & (flawed == 2)).any()
    assert not ((labels == 2) & (flawed == 1)).any()
    assert (flawed == 2).flatten(1).any(dim=1).all()


def test_objects_beyond_the_number_stay(labels):
    assert (perturb(labels, 1, 1.0, draws()) == 2).equal(labels == 2)


def drawn(count, seed=0):
    """The flaws of the first object as the generator draws them: whether it loses, towards where, and how much."""
    _, losing, turn, much = torch.rand(4, count, generator=draws(seed)).tolist()
    return [(one < 0.5, 2 * math.pi * t, m) for one, t, m in zip(losing, turn, much, strict=True)]


def places(shape):
    """Centres of a shape's pixels in half sides of the picture, (x, y), counted one by one."""
    rows, columns = shape.shape
    return {
        (y, x): ((2 * x + 1) / columns - 1, (2 * y + 1) / rows - 1)
        for y in range(rows)
        for x in range(columns)
        if shape[y, x]
    }


def test_what_is_lost_lies_beyond_a_straight_line(labels):
    """Counted pixel by pixel: of a square's extent in the drawn direction, 0.35 to 0.9 is kept and no more."""
    square = places(labels[0] == 1)
    flawed = perturb(labels, 1, 1.0, draws())
    lost_anything = 0
    for left, (losing, towards, much) in zip(flawed, drawn(len(labels)), strict=True):
        if not losing:
            continue
        along = {p: x * math.cos(towards) + y * math.sin(towards) for p, (x, y) in square.items()}
        end = min(along.values()) + (0.35 + 0.55 * much) * (max(along.values()) - min(along.values()))
        sure = {p for p, place in along.items() if abs(place - end) > 1e-4}  # not on the line itself
        kept = set(places(left == 1))
        assert kept & sure == {p for p in sure if along[p] < end}
        lost_anything += kept != square.keys()
    assert lost_anything > 20


def test_what_is_gained_is_the_shape_moved_on(labels):
    """Counted pixel by pixel: where the square would lie, 0.15 to 0.6 of its extent farther, it is as well."""
    square = places(labels[0] == 1)
    flawed = perturb(labels, 1, 1.0, draws())
    gained = 0
    for found, (losing, towards, much) in zip(flawed, drawn(len(labels)), strict=True):
        if losing:
            continue
        along = [x * math.cos(towards) + y * math.sin(towards) for x, y in square.values()]
        pixels = (0.15 + 0.45 * much) * (max(along) - min(along)) * 20  # of the 40, half are one half side
        down, right = pixels * math.sin(towards), pixels * math.cos(towards)
        moved = {(round(y + down), round(x + right)) for y, x in square}
        free = {(y, x) for y, x in moved if not (labels[0][y, x] if 0 <= min(y, x) <= max(y, x) < 40 else True)}
        new = places(found == 1).keys() - square.keys()
        assert len(new ^ free) <= 2 * 17  # half-way places fall to either side along two edges
        gained += len(new)
        centres = [[sum(axis) / len(one) for axis in zip(*one, strict=True)] for one in (new, free)]
        assert math.dist(*centres) < 0.75
    assert gained > 500


def test_nothing_happens_without_objects():
    empty = torch.zeros(3, 8, 8, dtype=torch.long)
    assert perturb(empty, 2, 1.0, draws()).equal(empty)
