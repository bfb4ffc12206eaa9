import math

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.crw import cycle_loss
from selfvos.objectives.jstg import (
    JSTG,
    JSTGConfig,
    adjacency,
    joint_cycle_loss,
    mix,
    neighbour_loss,
    space_transition,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(3)), dim=-1)


def stay(frames: int, count: int) -> torch.Tensor:
    """Steps in space that lead nowhere else."""
    return torch.eye(count).log().expand(1, frames, count, count)


def test_nodes_touch_their_eight_neighbours():
    touching = adjacency(3, 3)
    assert touching.sum(dim=1).tolist() == [3, 5, 3, 5, 8, 5, 3, 5, 3]
    assert not touching.diagonal().any()
    assert touching[0].nonzero().flatten().tolist() == [1, 3, 4]
    assert adjacency(2, 3)[2].nonzero().flatten().tolist() == [1, 4, 5]


def test_steps_in_space_stay_among_what_is_allowed():
    relations = torch.tensor([[[0.0, 1.0, 5.0], [0.0, 0.0, 0.0], [5.0, 1.0, 0.0]]])
    step = space_transition(relations, adjacency(1, 3) | torch.eye(3, dtype=torch.bool)).exp()
    sure = 1 / (1 + math.exp(-1))
    expected = torch.tensor([[1 - sure, sure, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.0, sure, 1 - sure]])
    torch.testing.assert_close(step[0], expected)


def test_mixing_is_the_weighted_mean_at_unit_length():
    step = torch.tensor([[[0.25, 0.75], [1.0, 0.0]]]).log()
    mixed = mix(step, torch.eye(2)[None])
    torch.testing.assert_close(mixed[0], torch.tensor([[1.0, 3.0], [1.0, 0.0]]) / torch.tensor([[10**0.5], [1.0]]))


def test_without_steps_in_space_it_is_the_plain_walk():
    nodes = unit(1, 4, 5, 8)
    joint = joint_cycle_loss(stay(4, 5), nodes, temperature=0.1, edge_dropout=0.2, generator=seeded())
    torch.testing.assert_close(joint, cycle_loss(nodes, temperature=0.1, edge_dropout=0.2, generator=seeded()))


def test_walkers_come_home_or_are_lost_as_in_the_plain_walk():
    orders = torch.stack([torch.randperm(6, generator=seeded(t)) for t in range(4)])
    settings = {"temperature": 0.05, "edge_dropout": 0.0, "generator": seeded()}
    assert joint_cycle_loss(stay(4, 6), torch.eye(6)[orders][None], **settings).item() < 1e-6
    alike = functional.normalize(torch.ones(1, 4, 6, 3), dim=-1)
    anywhere = torch.full((1, 4, 6, 6), -math.log(6))
    assert joint_cycle_loss(anywhere, alike, **settings).item() == pytest.approx(math.log(6), abs=1e-5)


def test_a_step_in_space_before_each_step_in_time_is_part_of_the_walk():
    nodes = unit(1, 2, 3, 8)
    space = unit(1, 2, 3, 3).softmax(dim=-1)
    there, back = ((nodes[0, s] @ nodes[0, 1 - s].mT / 0.2).softmax(dim=-1) for s in (0, 1))
    home = (space[0, 0] @ there @ space[0, 1] @ back).diagonal()
    loss = joint_cycle_loss(space.log(), nodes, temperature=0.2, edge_dropout=0.0, generator=seeded())
    torch.testing.assert_close(loss, -home.log().mean())


def test_two_nodes_that_are_each_others_neighbours():
    nodes = torch.eye(2).expand(1, 2, 2, 2)
    stays = 1 / (1 + math.exp(-1))
    right = stays / math.hypot(stays, 1 - stays)
    wrong = (1 - stays) / math.hypot(stays, 1 - stays)
    loss = neighbour_loss(nodes.flip(2), nodes, temperature=1.0)
    assert loss.item() == pytest.approx(math.log1p(math.exp(wrong - right)), abs=1e-6)


def test_neighbourhoods_that_look_alike_are_lost():
    alike = functional.normalize(torch.ones(2, 3, 4, 3), dim=-1)
    assert neighbour_loss(alike, alike, temperature=0.05).item() == pytest.approx(math.log(8), abs=1e-5)


def test_relations_begin_as_similarity_and_learn(segmenter, clip):
    objective = JSTG(JSTGConfig())
    assert torch.equal(objective.centre.weight, torch.eye(128))
    objective(EncodedClip(clip, segmenter), seeded()).total.backward()
    for linear in (objective.centre, objective.neighbour):
        assert linear.weight.grad is not None
        assert linear.weight.grad.abs().sum() > 0


def test_impossible_settings_are_refused():
    with pytest.raises(UsageError, match="relation_temperature must be"):
        JSTGConfig(relation_temperature=0.0)
    with pytest.raises(UsageError, match="edge_dropout must be"):
        JSTGConfig(edge_dropout=-0.1)
