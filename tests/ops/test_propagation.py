import pytest
import torch

from selfvos.errors import UsageError
from selfvos.ops.matching import MatchConfig, match
from selfvos.ops.propagation import dense_affinity, propagate, readout

CONFIG = MatchConfig(top_k=4, radius_cells=2.5)


def problem(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(3, 5, 6, 8, generator=generator, dtype=dtype)
    query = torch.randn(5, 6, 8, generator=generator, dtype=dtype)
    return query, memory, torch.tensor([True, False, False])


@pytest.mark.parametrize("channels", [1, 3, 70])
def test_read_equals_the_dense_product(channels):
    matches = match(*problem(), CONFIG)
    values = torch.randn(90, channels)
    dense = torch.zeros(30, 90).scatter_add_(1, matches.index, matches.weight)
    torch.testing.assert_close(readout(values, matches), dense @ values)


def test_read_takes_views_and_other_number_formats():
    matches = match(*problem(), CONFIG)
    values = torch.randn(4, 90, dtype=torch.float64)
    wanted = (values.T[matches.index] * matches.weight[..., None]).sum(dim=1)
    torch.testing.assert_close(readout(values.T, matches), wanted)


def test_read_of_unused_slots_adds_nothing():
    one = torch.ones(1, 1, 2)
    matches = match(one, one[None], torch.tensor([False]), MatchConfig(top_k=5))
    assert readout(torch.tensor([[7.0, 8.0]]), matches).tolist() == [[7.0, 8.0]]


def test_read_passes_gradients_to_the_values():
    matches = match(*problem(torch.float64), CONFIG)
    values = torch.randn(90, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: readout(v, matches), values)


def test_dense_affinity_is_a_softmax_over_memory():
    query, memory = torch.randn(2, 4, 5), torch.randn(2, 4, 7)
    affinity = dense_affinity(query, memory, 0.5)
    assert affinity.shape == (2, 7, 5)
    torch.testing.assert_close(affinity.sum(dim=1), torch.ones(2, 5))
    by_hand = (memory[1, :, 3] @ query[1, :, 2] / 0.5).exp() / (memory[1].T @ query[1, :, 2] / 0.5).exp().sum()
    torch.testing.assert_close(affinity[1, 3, 2], by_hand)


def test_only_the_best_matches_share_the_weight():
    query, memory = torch.randn(2, 4, 5), torch.randn(2, 4, 7)
    affinity = dense_affinity(query, memory, 0.5, top_k=3)
    everything = dense_affinity(query, memory, 0.5)
    assert ((affinity > 0).sum(dim=1) == 3).all()
    best = everything.topk(3, dim=1)
    expected = best.values / best.values.sum(dim=1, keepdim=True)
    torch.testing.assert_close(affinity.gather(1, best.indices), expected)
    assert torch.equal(dense_affinity(query, memory, 0.5, top_k=7), everything)


def test_sharp_affinity_carries_each_cell_home():
    cells = torch.eye(6)[None]
    values = torch.randn(1, 2, 6, 3)
    torch.testing.assert_close(propagate(dense_affinity(cells, cells, 0.01), values), values)


def test_carry_serves_every_object_and_clip_for_itself():
    affinity, values = torch.rand(2, 7, 5).softmax(dim=1), torch.randn(2, 3, 7, 4)
    carried = propagate(affinity, values)
    for b in range(2):
        for o in range(3):
            torch.testing.assert_close(carried[b, o], affinity[b].T @ values[b, o])


def test_all_matches_kept_read_as_the_dense_affinity_carries():
    query, memory, _ = problem()
    everywhere = MatchConfig(top_k=64, radius_cells=float("inf"))
    matches = match(query, memory[:2], torch.tensor([False, False]), everywhere)
    flat = [tensor.reshape(-1, 8).T[None] for tensor in (query, memory[:2])]
    values = torch.randn(60, 3)
    carried = propagate(dense_affinity(*flat, everywhere.temperature), values[None, None])[0, 0]
    torch.testing.assert_close(readout(values, matches), carried, atol=2e-5, rtol=1e-4)


def test_gradients_reach_features_and_values():
    query, memory = (torch.randn(2, 3, size, dtype=torch.float64, requires_grad=True) for size in (4, 5))
    values = torch.randn(2, 2, 5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q, m, v: propagate(dense_affinity(q, m, 0.7), v), (query, memory, values))


def test_temperature_must_be_positive():
    with pytest.raises(UsageError, match="temperature"):
        dense_affinity(torch.ones(1, 2, 3), torch.ones(1, 2, 3), 0.0)
