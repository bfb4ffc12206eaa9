from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.matching import MatchConfig, Matches, match
from selfvos.ops.propagation import readout
from selfvos.ops.revealed import CompleteConfig, alike, complete, novelty


def _matches(index: list[list[int]], score: list[list[float]]) -> Matches:
    scores = torch.tensor(score)
    return Matches(torch.tensor(index), scores.softmax(dim=1), scores)


def test_a_cell_is_new_where_its_best_memory_cell_is_another_cells():
    matches = _matches([[4, 0], [4, 1], [2, 4]], [[0.9, 0.1], [0.8, 0.2], [0.7, 0.5]])
    config = CompleteConfig(sure_below=0.0, new_above=0.2)
    torch.testing.assert_close(novelty(matches, config), torch.tensor([0.0, 0.5, 0.0]))


def test_between_two_equal_frames_nothing_is_new():
    key = F.normalize(torch.randn(6, 7, 32, generator=torch.Generator().manual_seed(0)), dim=2)
    matches = match(key, key[None], torch.tensor([True]), MatchConfig(top_k=3))
    assert not novelty(matches, CompleteConfig()).any()


def test_cells_that_look_alike_leave_out_the_cell_itself():
    key = F.normalize(torch.randn(6, 7, 32, generator=torch.Generator().manual_seed(1)), dim=2)
    found = alike(key, CompleteConfig(neighbours=5, radius_cells=3.0))
    itself = found.index == torch.arange(42)[:, None]
    assert not found.weight[itself].any()
    torch.testing.assert_close(found.weight.sum(dim=1), torch.ones(42))


def test_what_is_known_stays_as_it_is():
    labels = torch.rand(42, 3, 4, generator=torch.Generator().manual_seed(2)).softmax(dim=1)
    new = torch.zeros(42)
    new[[3, 17]] = 1
    found = complete(labels, new, _ring(42), 12)
    known = new == 0
    torch.testing.assert_close(found[known], labels[known])
    assert not torch.equal(found[~known], labels[~known])


def test_labels_reach_as_far_as_the_steps_and_sum_to_one():
    # A row of cells, each like the one before it; only the first is known.
    labels = torch.zeros(5, 2, 1)
    labels[:, 0], labels[0] = 1, torch.tensor([[0.0], [1.0]])
    new = torch.tensor([0.0, 1, 1, 1, 1])
    before = _matches([[0], [0], [1], [2], [3]], [[1.0]] * 5)
    found = complete(labels, new, before, 3)
    torch.testing.assert_close(found[:, 1, 0], torch.tensor([1.0, 1, 1, 1, 0]))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(5, 1))


def test_parts_of_a_new_cell_move_alike():
    labels = torch.tensor([[[0.0, 0.0], [1.0, 1.0]], [[0.75, 0.25], [0.25, 0.75]]])
    found = complete(labels, torch.tensor([0.0, 0.5]), _matches([[0], [0]], [[1.0], [1.0]]), 1)
    torch.testing.assert_close(found[1, 1], torch.tensor([0.5, 1.0]))


def test_what_comes_out_from_behind_an_object_is_ground():
    """Ground that was hidden resembles the object of the frame before more than the ground of that frame.

    In its own frame, where light has changed alike for all ground, it resembles ground.
    """
    ground, light, thing, own = (
        0,
        1,
        2,
        3,
    )  # channels: what all ground has, its light, all of the object, then each cell

    def cell(channel: int, **parts: float) -> Tensor:
        found = torch.zeros(12)
        found[own + channel] = 0.8
        for name, value in parts.items():
            found[{"ground": ground, "light": light, "thing": thing}[name]] = value
        return F.normalize(found, dim=0)

    def earth(place: int, lit: float) -> Tensor:
        return cell(place, ground=0.6, light=lit)

    def body(place: int) -> Tensor:
        return cell(6 + place, ground=0.5, thing=0.6)

    revealed = cell(2, ground=0.6, light=0.4, thing=0.2)
    before = torch.stack([earth(0, 0), earth(1, 0), body(0), body(1), earth(4, 0), earth(5, 0)])[None]
    now = torch.stack([earth(0, 0.4), earth(1, 0.4), revealed, body(0), body(1), earth(5, 0.4)])[None]
    labels = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1], [1, 0], [1, 0]])
    matches = match(now, before[None], torch.tensor([True]), MatchConfig(top_k=1))
    carried = readout(labels, matches)
    config = CompleteConfig(radius_cells=4.0, neighbours=2, temperature=0.05)
    found = complete(carried[:, :, None], novelty(matches, config), alike(now, config), 12)[:, 1, 0]
    assert carried[:, 1].tolist() == [0, 0, 1, 1, 1, 0]
    assert (found > 0.5).tolist() == [False, False, False, True, True, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sure_below": -0.1},
        {"sure_below": 0.3, "new_above": 0.2},
        {"neighbours": 0},
        {"neighbours": 64},
        {"radius_cells": 1.0},
        {"temperature": 0.0},
        {"steps": 0},
    ],
)
def test_refuses_settings_that_mean_nothing(wrong: dict[str, Any]):
    with pytest.raises(UsageError):
        CompleteConfig(**wrong)


def _ring(count: int) -> Matches:
    cells = torch.arange(count)
    index = torch.stack([(cells + 1) % count, (cells - 1) % count], dim=1)
    return Matches(index, torch.full((count, 2), 0.5), torch.ones(count, 2))
