import pytest
import torch
from torch.nn import functional as F

from selfvos.errors import DataError, UsageError
from selfvos.ops.window_attention import AttendConfig, attend, compact, find_centres


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def define(query, memory, labels, radius, temperature):
    """Write out all pairs of cells."""
    n, h, w, c = memory.shape
    scores = query.reshape(-1, c).double() @ memory.reshape(-1, c).double().T / temperature
    y, x = torch.arange(h * w) // w, torch.arange(h * w) % w
    near = ((y[:, None] - y).abs() <= radius) & ((x[:, None] - x).abs() <= radius)
    return scores.masked_fill(~near.repeat(1, n), -torch.inf).softmax(dim=1) @ labels.double()


@pytest.mark.parametrize("radius", [1, 3, 20])
@pytest.mark.parametrize("frames", [1, 4])
def test_it_is_a_softmax_over_the_windows_of_all_frames(radius, frames):
    query, memory = random(7, 9, 5), random(frames, 7, 9, 5, seed=1)
    labels = random(frames * 63, 3, seed=2).softmax(dim=1)
    found = attend(query, memory, labels, range(frames), AttendConfig(radius_cells=radius, temperature=0.7))
    torch.testing.assert_close(found.double(), define(query, memory, labels, radius, 0.7), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("age", "step"), [(16, 2), (30, 3), (45, 4), (500, 4)])
def test_windows_of_old_frames_follow_their_cells(age, step):
    config = AttendConfig(radius_cells=2, temperature=0.02, recentre_after=15)
    query = F.normalize(random(16, 16, 32), dim=-1)
    shift = 2 * step  # as far as the coarse window reaches, and farther than the fine one
    old = query.roll((shift, shift), (0, 1))
    labels = random(256, 2, seed=1).softmax(dim=1)
    centre = find_centres(query.movedim(2, 0), old.movedim(2, 0), step, config)
    inner = slice(0, 16 - shift)
    rows = torch.arange(16.0)[:, None] + shift
    torch.testing.assert_close(centre[0, inner, inner], rows.expand(16, 16)[inner, inner], atol=1e-3, rtol=0)
    found = attend(query, old[None], labels, [age], config).unflatten(0, (16, 16))
    wanted = labels.unflatten(0, (16, 16))[shift:, shift:]
    torch.testing.assert_close(found[inner, inner], wanted, atol=1e-3, rtol=0)


def test_young_frames_keep_their_windows():
    query, memory, labels = random(6, 6, 4), random(2, 6, 6, 4, seed=1), random(72, 2, seed=2)
    still, moving = (AttendConfig(radius_cells=2, recentre_after=after) for after in (None, 15))
    assert torch.equal(attend(query, memory, labels, [1, 15], still), attend(query, memory, labels, [1, 15], moving))
    assert not torch.equal(
        attend(query, memory, labels, [1, 16], still), attend(query, memory, labels, [1, 16], moving)
    )


def test_moved_windows_keep_sums_of_labels():
    labels = random(2 * 56, 3).softmax(dim=1)
    config = AttendConfig(radius_cells=3, recentre_after=15)
    found = attend(random(7, 8, 4, seed=1), random(2, 7, 8, 4, seed=2), labels, [3, 40], config)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(56))


def test_clear_windows_become_two_peaks():
    weight = torch.full((25, 1, 2), 0.01)
    weight[7, 0, 0], weight[18, 0, 0] = 0.5, 0.2
    found = compact(weight, above=0.1)
    assert torch.equal(found[:, :, 1], weight[:, :, 1])
    heights = torch.tensor([0.5, 0.2]).softmax(dim=0)
    window = found[:, 0, 0].view(5, 5)
    torch.testing.assert_close(window[1, 2], heights[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(window[3, 3], heights[1], atol=1e-3, rtol=0)
    torch.testing.assert_close(window[0, 2], heights[0] / 16, atol=1e-3, rtol=0)  # half at half a cell: a 16th at one


def test_broken_features_are_told():
    query, memory = random(3, 3, 2), random(1, 3, 3, 2)
    query[1, 1] = torch.nan
    with pytest.raises(DataError, match="NaN"):
        attend(query, memory, torch.ones(9, 1), [1], AttendConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius_cells": 0}, "radius_cells"),
        ({"temperature": 0.0}, "temperature"),
        ({"recentre_after": 0}, "recentre_after"),
        ({"compact_above": 1.0}, "compact_above"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        AttendConfig(**settings)
