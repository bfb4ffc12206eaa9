import math

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.ops.walks import come_home, cut_patches, follow, home_loss, palindrome_loss, there_and_back, transition


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(3)), dim=-1)


def walks(nodes: torch.Tensor, temperature: float = 0.05, edge_dropout: float = 0.0) -> float:
    steps = there_and_back(nodes, temperature=temperature, edge_dropout=edge_dropout, generator=seeded())
    return palindrome_loss(*steps).item()


def test_a_paper_sized_frame_has_49_overlapping_patches():
    frames = torch.rand(1, 2, 3, 256, 256, generator=seeded())
    patches = cut_patches(frames, patch_px=64, step_px=32)
    assert patches.shape == (1, 2, 7, 7, 3, 64, 64)
    assert torch.equal(patches[0, 1, 2, 6], frames[0, 1, :, 64:128, 192:256])


@pytest.mark.parametrize(
    ("sides", "grid", "side"),
    [((128, 128), (3, 3), 64), ((64, 64), (3, 3), 32), ((96, 192), (3, 7), 48), ((40, 40), (4, 4), 16)],
)
def test_small_frames_have_smaller_patches(sides, grid, side):
    frames = torch.rand(1, 1, 3, *sides, generator=seeded())
    patches = cut_patches(frames, patch_px=64, step_px=32)
    assert patches.shape == (1, 1, *grid, 3, side, side)
    for row in range(grid[0]):
        for column in range(grid[1]):
            top, left = row * side // 2, column * side // 2
            assert torch.equal(patches[0, 0, row, column], frames[0, 0, :, top : top + side, left : left + side])


def test_a_patch_that_fits_twice_keeps_its_size():
    assert cut_patches(torch.rand(1, 1, 3, 80, 80), patch_px=40, step_px=20).shape == (1, 1, 3, 3, 3, 40, 40)


def test_frames_without_room_for_two_patches_are_refused():
    with pytest.raises(UsageError, match="24x200 are too small"):
        cut_patches(torch.rand(1, 1, 3, 24, 200), patch_px=64, step_px=32)


def test_transitions_are_the_softmax_of_dot_products():
    source, target = unit(2, 4, 8), unit(2, 5, 8)
    step = transition(source, target, temperature=0.3, edge_dropout=0.0, generator=seeded())
    torch.testing.assert_close(step.exp(), (source @ target.mT / 0.3).softmax(dim=-1))


def test_closed_edges_are_not_taken_and_the_open_ones_share():
    alike = functional.normalize(torch.ones(3, 20, 4), dim=-1)
    step = transition(alike, alike, temperature=0.05, edge_dropout=0.3, generator=seeded(5)).exp()
    open_ = torch.rand(3, 20, 20, generator=seeded(5)) >= 0.3
    torch.testing.assert_close(step, open_ / open_.sum(dim=-1, keepdim=True))


def test_a_node_without_open_edges_steps_anywhere():
    step = transition(unit(1, 4, 8), unit(1, 4, 8), temperature=0.05, edge_dropout=0.999999, generator=seeded())
    torch.testing.assert_close(step.exp(), torch.full((1, 4, 4), 0.25))


def test_steps_in_log_space_are_products_of_matrices():
    first, second = unit(2, 3, 4).softmax(dim=-1), unit(2, 4, 5).softmax(dim=-1)
    torch.testing.assert_close(follow(first.log(), second.log()).exp(), first @ second)
    back = unit(2, 4, 3).softmax(dim=-1)
    home = (first @ back).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(come_home(first.log(), back.log()).exp(), home)


def test_the_least_likely_walks_keep_their_probability():
    """e^-1000 is 0 in float32, its logarithm is not."""
    nodes = torch.eye(2)[None]
    step = transition(nodes, nodes, temperature=0.001, edge_dropout=0.0, generator=seeded())
    twice = follow(step, step)
    assert twice[0, 0, 1].item() == pytest.approx(-1000 + math.log(2), abs=1e-3)
    assert twice[0, 0, 0].item() == 0


def test_a_walker_without_a_way_home_costs_46_nats():
    assert home_loss(torch.tensor([[-1e20, 0.0]])).item() == pytest.approx(-math.log(1e-20) / 2)


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_walkers_come_home_through_nodes_in_any_order(frames):
    orders = torch.stack([torch.randperm(6, generator=seeded(t)) for t in range(frames)])
    assert walks(torch.eye(6)[orders][None]) < 1e-6


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_walkers_among_equal_nodes_are_lost(frames):
    alike = functional.normalize(torch.ones(2, frames, 7, 3), dim=-1)
    assert walks(alike) == pytest.approx(math.log(7), abs=1e-5)
    assert walks(alike, edge_dropout=0.0) == walks(alike)


def test_palindromes_of_two_frames_and_more_are_averaged():
    nodes = unit(2, 4, 5, 8)

    def step(s: int, t: int) -> torch.Tensor:
        return (nodes[:, s] @ nodes[:, t].mT / 0.2).softmax(dim=-1)

    two = step(0, 1) @ step(1, 2) @ step(2, 1) @ step(1, 0)
    three = step(0, 1) @ step(1, 2) @ step(2, 3) @ step(3, 2) @ step(2, 1) @ step(1, 0)
    expected = -torch.stack([walk.diagonal(dim1=1, dim2=2).log().mean() for walk in (two, three)]).mean()
    assert walks(nodes, temperature=0.2) == pytest.approx(expected.item(), abs=1e-5)


def test_two_frames_have_the_shortest_walk():
    nodes = torch.eye(2).expand(1, 2, 2, 2)
    stay = 1 / (1 + math.exp(-1))
    assert walks(nodes, temperature=1.0) == pytest.approx(-math.log(stay**2 + (1 - stay) ** 2), abs=1e-6)


def test_edges_close_independently_there_and_back():
    alike = functional.normalize(torch.ones(1, 2, 30, 3), dim=-1)
    there, back = there_and_back(alike, temperature=0.05, edge_dropout=0.5, generator=seeded())
    assert not torch.equal(there[0] < -100, (back[0] < -100).mT)


def test_every_frame_receives_gradient():
    nodes = unit(1, 4, 5, 8).requires_grad_()
    palindrome_loss(*there_and_back(nodes, temperature=0.1, edge_dropout=0.2, generator=seeded())).backward()
    assert nodes.grad is not None
    assert nodes.grad.isfinite().all()
    assert (nodes.grad.abs().sum(dim=(0, 2, 3)) > 0).all()
