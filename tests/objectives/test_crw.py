import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.crw import CRW, CRWConfig, cycle_loss
from selfvos.types import Clip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(**settings) -> CRW:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CRW(CRWConfig(**settings))


@pytest.mark.parametrize(
    ("frames", "temperature", "published"),
    [(4, 0.05, 2.618700), (4, 0.07, 2.238912), (3, 0.05, 2.503961), (6, 0.05, 3.632299)],
)
def test_the_loss_is_that_of_the_authors_public_code(frames, temperature, published):
    """What the authors' public code gives for these nodes, without edge dropout."""
    nodes = functional.normalize(torch.randn(2, frames, 9, 8, generator=seeded()), dim=-1)
    loss = cycle_loss(nodes, temperature=temperature, edge_dropout=0.0, generator=seeded())
    assert loss.item() == pytest.approx(published, rel=2e-6)


def test_walkers_come_home_through_permuted_nodes():
    orders = torch.stack([torch.randperm(9, generator=seeded(t)) for t in range(4)])
    nodes = torch.eye(9)[orders][None]
    assert cycle_loss(nodes, temperature=0.05, edge_dropout=0.0, generator=seeded()).item() < 1e-6


def test_walkers_among_equal_nodes_are_lost():
    alike = functional.normalize(torch.ones(2, 4, 9, 5), dim=-1)
    loss = cycle_loss(alike, temperature=0.05, edge_dropout=0.0, generator=seeded())
    assert loss.item() == pytest.approx(math.log(9), abs=1e-5)


def test_closed_edges_send_walkers_astray():
    nodes = torch.eye(9).expand(1, 4, 9, 9)
    closed = cycle_loss(nodes, temperature=0.05, edge_dropout=0.5, generator=seeded()).item()
    assert 1 < closed < -math.log(1e-20)


def test_nodes_are_patches_encoded_one_by_one(segmenter, clip):
    objective = build()
    nodes = objective.nodes(EncodedClip(clip, segmenter), seeded())
    assert nodes.features.shape == (2, 5, 9, 128)
    assert (nodes.rows, nodes.columns) == (3, 3)
    torch.testing.assert_close(nodes.features.norm(dim=-1), torch.ones(2, 5, 9))
    assert [tuple(call.shape) for call in segmenter.calls] == [(2 * 5 * 9, 3, 64, 64)]


def test_patches_without_jitter_are_plain_crops(segmenter, clip):
    jitter = replace(CRWConfig().jitter, min_scale=1.0, max_scale=1.0)
    build(jitter=jitter).nodes(EncodedClip(clip, segmenter), seeded())
    seen = segmenter.calls[0].unflatten(0, (2, 5, 3, 3))
    torch.testing.assert_close(seen[1, 4, 2, 0], clip.frames[1, 4, :, 64:128, 0:64], atol=1e-5, rtol=0)


def test_each_patch_is_jittered_on_its_own(segmenter, clip):
    build().nodes(EncodedClip(clip, segmenter), seeded())
    seen = segmenter.calls[0].unflatten(0, (2, 5, 3, 3))
    overlap = seen[0, 0, 0, 0, :, :, 32:] - seen[0, 0, 0, 1, :, :, :32]
    assert overlap.abs().max() > 0.01


def test_cells_take_one_pass_of_each_frame(segmenter, clip):
    nodes = build(nodes="cells", cells_per_side=4).nodes(EncodedClip(clip, segmenter), seeded())
    assert nodes.features.shape == (2, 5, 16, 128)
    assert [len(call) for call in segmenter.calls] == [2] * 5


def test_cells_are_means_of_the_feature_map_row_by_row(segmenter, clip):
    objective = build(nodes="cells", cells_per_side=2)
    encoded = EncodedClip(clip, segmenter)
    nodes = objective.nodes(encoded, seeded())
    lower_left = encoded.features(3).base[1, :, 8:, :8].mean(dim=(1, 2))
    expected = functional.normalize(objective.nodes.head(lower_left), dim=0)
    torch.testing.assert_close(nodes.features[1, 3, 2], expected)


@pytest.mark.parametrize("settings", [{}, {"nodes": "cells"}])
def test_small_crops_work_and_tiny_ones_are_refused(settings, segmenter, clip):
    def loss(side: int) -> torch.Tensor:
        small = Clip(frames=clip.frames[..., :side, :side], index=clip.index)
        return build(**settings)(EncodedClip(small, segmenter), seeded()).total

    assert loss(64).item() > 0
    with pytest.raises(UsageError, match="larger crops"):
        loss(8)


def test_a_feature_of_another_width_is_refused(segmenter, clip):
    with pytest.raises(UsageError, match="takes 256 channels, the network gives 512; set feature_channels=512"):
        build(feature_channels=256)(EncodedClip(clip, segmenter), seeded())


def test_learning_brings_walkers_home():
    free = (torch.eye(6) + 0.4 * torch.randn(1, 3, 6, 6, generator=seeded())).requires_grad_()
    optimizer = torch.optim.Adam([free], lr=0.05)
    losses = []
    for step in range(40):
        nodes = functional.normalize(free, dim=-1)
        loss = cycle_loss(nodes, temperature=0.1, edge_dropout=0.0, generator=seeded(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.0},
        {"edge_dropout": 1.0},
        {"patch_px": 0},
        {"cells_per_side": 1},
        {"node_channels": 0},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="must be"):
        CRWConfig(**settings)
