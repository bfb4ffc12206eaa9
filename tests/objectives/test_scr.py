import math

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.scr import (
    SCRConfig,
    complete_graph,
    domain_loss,
    mixed_paths_loss,
    self_cycle_loss,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(3)), dim=-1)


def graph(nodes: torch.Tensor, temperature: float = 0.05) -> dict[tuple[int, int], torch.Tensor]:
    return complete_graph(nodes, temperature=temperature, edge_dropout=0.0, generator=seeded())


def home(walk: torch.Tensor) -> torch.Tensor:
    return -walk.diagonal(dim1=1, dim2=2).log().mean()


def test_every_ordered_pair_of_frames_is_linked():
    nodes = unit(2, 3, 4, 8)
    steps = graph(nodes, temperature=0.3)
    assert sorted(steps) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    torch.testing.assert_close(steps[2, 0].exp(), (nodes[:, 2] @ nodes[:, 0].mT / 0.3).softmax(dim=-1))


def test_permuted_nodes_close_every_cycle():
    orders = torch.stack([torch.randperm(6, generator=seeded(t)) for t in range(4)])
    steps = graph(torch.eye(6)[orders][None])
    assert mixed_paths_loss(steps).item() < 1e-6
    assert self_cycle_loss(steps).item() < 1e-6


def test_equal_nodes_close_none():
    steps = graph(functional.normalize(torch.ones(2, 4, 7, 3), dim=-1))
    assert mixed_paths_loss(steps).item() == pytest.approx(math.log(7), abs=1e-5)
    assert self_cycle_loss(steps).item() == pytest.approx(math.log(7), abs=1e-5)


def test_paths_are_mixed_over_their_last_stop():
    steps = graph(unit(2, 4, 5, 8), temperature=0.3)
    p = {pair: step.exp() for pair, step in steps.items()}
    out2, home2 = (p[0, 2] + p[0, 1] @ p[1, 2]) / 2, (p[2, 0] + p[2, 1] @ p[1, 0]) / 2
    out3 = (p[0, 3] + p[0, 1] @ p[1, 3] + out2 @ p[2, 3]) / 3
    home3 = (p[3, 0] + p[3, 1] @ p[1, 0] + p[3, 2] @ home2) / 3
    expected = (home(p[0, 1] @ p[1, 0]) + home(out2 @ home2) + home(out3 @ home3)) / 3
    torch.testing.assert_close(mixed_paths_loss(steps), expected)


def test_self_cycles_go_straight_back():
    steps = graph(unit(2, 3, 5, 8), temperature=0.3)
    p = {pair: step.exp() for pair, step in steps.items()}
    expected = (home(p[0, 1] @ p[1, 0]) + home(p[0, 2] @ p[2, 0]) + home(p[1, 2] @ p[2, 1])) / 3
    torch.testing.assert_close(self_cycle_loss(steps), expected)


def test_videos_that_look_alike_cannot_be_told_apart():
    alike = functional.normalize(torch.ones(3, 2, 4, 5), dim=-1)
    assert domain_loss(alike, temperature=0.05).item() == pytest.approx(math.log(3), abs=1e-5)


def test_videos_of_one_colour_each():
    nodes = torch.eye(2)[:, None, None].expand(2, 3, 4, 2)
    assert domain_loss(nodes, temperature=0.5).item() == pytest.approx(math.log1p(math.exp(-2)), abs=1e-6)


def test_a_single_video_has_nowhere_to_stray():
    assert domain_loss(unit(1, 3, 4, 8), temperature=0.05).item() == 0


def test_gradient_reaches_every_frame():
    nodes = unit(2, 3, 4, 8).requires_grad_()
    steps = graph(nodes, temperature=0.1)
    (mixed_paths_loss(steps) + self_cycle_loss(steps) + domain_loss(nodes, temperature=0.1)).backward()
    assert nodes.grad is not None
    assert (nodes.grad.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_impossible_settings_are_refused():
    with pytest.raises(UsageError, match="temperature must be"):
        SCRConfig(temperature=-1.0)
