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


def test_what_is_lost_lies_beyond_a_straight_line(labels):
    """The kept part and the lost one of a square are both convex, so their centres are apart."""
    flawed = perturb(labels, 1, 1.0, draws())
    for given, left in zip(labels, flawed, strict=True):
        lost = ((given == 1) & (left != 1)).nonzero().float()
        kept = ((given == 1) & (left == 1)).nonzero().float()
        if len(lost):
            normal = lost.mean(dim=0) - kept.mean(dim=0)
            # The line is crossed by no more than the corners that the centres' direction misses.
            assert ((lost @ normal).median() > (kept @ normal).median()).item()


def test_nothing_happens_without_objects():
    empty = torch.zeros(3, 8, 8, dtype=torch.long)
    assert perturb(empty, 2, 1.0, draws()).equal(empty)
