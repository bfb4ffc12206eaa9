import logging
import math
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import selfvos.ops.kernels
from selfvos.errors import DataError, UsageError
from selfvos.ops import matching
from selfvos.ops.kernels import loading
from selfvos.ops.matching import MatchConfig, Matches, match, match_plain

BOTH = pytest.mark.parametrize("matcher", [match, match_plain])


@pytest.fixture(autouse=True)
def _restore_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def define(query, memory, permanent, config):
    """Write the whole affinity out, exclude what lies outside the window, sort."""
    if config.per_frame:
        return define_frame_by_frame(query, memory, permanent, config)
    n, h, w, c = memory.shape
    scores = query.reshape(-1, c).double() @ memory.reshape(-1, c).double().T
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    dy, dx = y.flatten()[:, None] - y.flatten(), x.flatten()[:, None] - x.flatten()
    if config.window == "circle":
        inside = (dy**2 + dx**2).double().sqrt() < config.radius_cells
    else:
        inside = (dy.abs() <= config.radius_cells) & (dx.abs() <= config.radius_cells)
    allowed = inside.repeat(1, n)
    if config.exempt_permanent:
        allowed |= permanent.repeat_interleave(h * w)
    scores = scores.masked_fill(~allowed, -math.inf)
    scores = F.pad(scores, (0, config.top_k), value=-math.inf)  # so that there are always k to take
    score, index = scores.sort(dim=1, descending=True, stable=True)
    score, index = score[:, : config.top_k], index[:, : config.top_k]
    return Matches(index.where(score > -math.inf, 0), (score / config.temperature).softmax(dim=1), score)


def define_frame_by_frame(query, memory, permanent, config):
    n, h, w, _ = memory.shape
    once = replace(config, per_frame=False, normalise="kept")
    found = [define(query, memory[[i]], permanent[[i]], once) for i in range(n)]
    index = [(one.index + i * h * w).where(one.score > -math.inf, 0) for i, one in enumerate(found)]
    weight = torch.cat([one.weight for one in found], dim=1) / n
    if config.normalise == "frame":
        whole = torch.einsum("yxc,nuvc->yxnuv", query.double(), memory.double()).reshape(h * w, n, -1)
        share = (whole / config.temperature).softmax(dim=2)
        best = torch.cat([one.index for one in found], dim=1).view(h * w, n, -1)
        weight = share.gather(2, best).where(found_scores(found) > -math.inf, 0).flatten(1) / n
    return Matches(torch.cat(index, dim=1), weight, torch.cat([one.score for one in found], dim=1))


def found_scores(found):
    return torch.stack([one.score for one in found], dim=1)


def assert_same(found, wanted, atol=1e-6):
    assert torch.equal(found.index, wanted.index)
    torch.testing.assert_close(found.score.double(), wanted.score.double(), atol=atol, rtol=1e-6)
    torch.testing.assert_close(found.weight.double(), wanted.weight.double(), atol=1e-5, rtol=0)


def assert_same_but_for_near_ties(found, wanted, atol=2e-6):
    """Rounding may swap cells whose scores differ by less than it."""
    torch.testing.assert_close(found.score.double(), wanted.score, atol=atol, rtol=0)
    moved = found.index != wanted.index
    gap = (wanted.score[:, :-1] - wanted.score[:, 1:]).nan_to_num(0.0)
    crowded = F.pad(gap < atol, (1, 0)) | F.pad(gap < atol, (0, 1), value=True)
    assert not (moved & ~crowded).any()
    assert moved.float().mean() < 0.01


def video(n, h, w, c, noise=0.1, seed=0):
    """Make unit features of n + 1 frames that are alike where they are near, as they are in video; the last first."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.randn(1, c, h // 4 + 2, w // 4 + 2, generator=generator)
    scene = 0.5 + F.interpolate(scene, size=(h, w), mode="bicubic")[0].permute(1, 2, 0)
    frames = F.normalize(scene + noise * torch.randn(n + 1, h, w, c, generator=generator), dim=-1)
    return frames[-1].contiguous(), frames[:-1].contiguous()


def random_unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def flags(*values):
    return torch.tensor(values, dtype=torch.bool)


@BOTH
@pytest.mark.parametrize("size", [(3, 3), (20, 24)])
def test_weights_may_be_shares_of_a_whole_frame(matcher, size):
    config = MatchConfig(top_k=12, radius_cells=math.inf, temperature=0.3, per_frame=True, normalise="frame")
    query, memory = random_unit(*size, 16), random_unit(3, *size, 16, seed=1)
    found = matcher(query, memory, flags(True, False, False), config)
    assert_same_but_for_near_ties(found, define(query, memory, flags(True, False, False), config))
    wanted = define(query, memory, flags(True, False, False), config).weight
    torch.testing.assert_close(found.weight.double(), wanted, atol=1e-5, rtol=0)
    kept_all = size == (3, 3)
    assert torch.allclose(found.weight.sum(dim=1), torch.ones(len(found.weight))) == kept_all


# Whole numbers multiply exactly in every order, so ties are true ties for every implementation.
@st.composite
def problems(draw):
    h, w, n = draw(st.integers(1, 11)), draw(st.integers(1, 13)), draw(st.integers(1, 4))
    c = draw(st.sampled_from([1, 2, 5, 32, 40]))
    config = MatchConfig(
        top_k=draw(st.integers(1, 64)),
        radius_cells=draw(st.floats(0.01, 16.0) | st.integers(1, 14).map(float) | st.just(math.inf)),
        window=draw(st.sampled_from(["circle", "square"])),
        temperature=draw(st.sampled_from([0.05, 0.7, 3.0])),
        exempt_permanent=draw(st.booleans()),
        per_frame=draw(st.booleans()),
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    largest = draw(st.integers(0, 3))
    query = torch.randint(-largest, largest + 1, (h, w, c), generator=generator).float()
    memory = torch.randint(-largest, largest + 1, (n, h, w, c), generator=generator).float()
    return query, memory, torch.rand(n, generator=generator) < 0.4, config


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_both_matchers_equal_the_definition(problem):
    wanted = define(*problem)
    assert_same(match(*problem), wanted)
    assert_same(match_plain(*problem), wanted)


@BOTH
@pytest.mark.parametrize(
    ("n", "h", "w", "c", "config"),
    [
        (3, 19, 41, 64, MatchConfig(radius_cells=6.0)),
        (2, 21, 40, 256, MatchConfig(window="square", radius_cells=4.0, top_k=5, temperature=0.1)),
        (4, 10, 38, 96, MatchConfig(radius_cells=12.0, top_k=64, exempt_permanent=False)),
        (2, 5, 9, 1056, MatchConfig(radius_cells=3.5, top_k=7)),
        (5, 1, 75, 32, MatchConfig(radius_cells=20.0)),
        (5, 75, 1, 32, MatchConfig(radius_cells=20.0)),
    ],
)
def test_real_numbers_equal_the_definition(matcher, n, h, w, c, config):
    query, memory = random_unit(h, w, c), random_unit(n, h, w, c, seed=1)
    permanent = torch.arange(n) == 0
    wanted = define(query, memory, permanent, config)
    assert_same_but_for_near_ties(matcher(query, memory, permanent, config), wanted)


@BOTH
@pytest.mark.parametrize(
    ("n", "h", "w", "c", "config"),
    [
        (3, 21, 33, 96, MatchConfig(radius_cells=8.0)),
        (2, 16, 16, 100, MatchConfig(radius_cells=math.inf, top_k=64)),
        (3, 17, 31, 256, MatchConfig(window="square", radius_cells=50.0, top_k=1)),
        (2, 1, 300, 130, MatchConfig(radius_cells=90.0, per_frame=True)),
        (2, 257, 1, 96, MatchConfig(radius_cells=90.0, exempt_permanent=False, top_k=5)),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_features_as_in_video_equal_the_definition(matcher, n, h, w, c, config, noise):
    query, memory = video(n, h, w, c, noise)
    permanent = torch.arange(n) == 0
    if noise == 0.0:  # copies: only whole numbers tie truly
        query, memory = (8 * query).round(), (8 * memory).round()
        assert_same(matcher(query, memory, permanent, config), define(query, memory, permanent, config), atol=1e-3)
    else:
        wanted = define(query, memory, permanent, config)
        assert_same_but_for_near_ties(matcher(query, memory, permanent, config), wanted)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("config", [MatchConfig(), MatchConfig(per_frame=True, top_k=5, window="square")])
def test_sketches_change_nothing_to_the_bit(monkeypatch, noise, config):
    query, memory = video(4, 23, 37, 128, noise)
    permanent = flags(True, False, False, False)
    found = match(query, memory, permanent, config)
    monkeypatch.setattr(matching, "_is_worth_sketching", lambda *_: False)
    wanted = match(query, memory, permanent, config)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("cells", "channels", "config", "worth"),
    [
        (60 * 107, 256, MatchConfig(), True),
        (60 * 107, 32, MatchConfig(), False),
        (6 * 10, 256, MatchConfig(), False),
        (60 * 107, 256, MatchConfig(radius_cells=3.0), False),
    ],
)
def test_sketches_are_made_where_they_pay(cells, channels, config, worth):
    reach = np.broadcast_to(matching.window_reach(config, 60, 107), (4, 60))
    assert matching._is_worth_sketching(cells, channels, reach) is worth


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.03])
@pytest.mark.parametrize("rank", [1, 10, 20])
def test_main_axes_are_at_right_angles_and_hold_most_of_the_energy(rank, noise):
    generator = torch.Generator().manual_seed(0)
    scene = torch.randn(400, rank, generator=generator) @ random_unit(rank, 96)
    scene += noise * torch.randn(400, 96, generator=generator)
    axes = torch.from_numpy(matching._main_axes(scene.view(20, 20, 96).numpy(), 15))
    torch.testing.assert_close(axes @ axes.T, torch.eye(15), atol=3e-6, rtol=0)
    assert (scene @ axes.T).square().sum() / scene.square().sum() > (0.9 if rank <= 15 else 0.7)


@pytest.mark.parametrize(
    "query", [torch.zeros(16, 16, 96), torch.full((16, 16, 96), math.nan), random_unit(16, 16, 96)]
)
def test_features_without_main_axes_have_none(query):
    assert matching._main_axes(query.numpy(), 15) is None


@BOTH
def test_top_k_of_every_frame_are_averaged_over_frames(matcher):
    query, memory = torch.ones(1, 2, 1), torch.tensor([[[[1.0], [2.0]]], [[[5.0], [4.0]]]])
    config = MatchConfig(top_k=1, radius_cells=9.0, temperature=1.0, per_frame=True)
    found = matcher(query, memory, flags(True, False), config)
    assert found.index.tolist() == [[1, 2], [1, 2]]
    assert found.weight.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert found.score.tolist() == [[2, 5], [2, 5]]
    # A frame of two cells fills two of three places.
    found = matcher(query, memory, flags(True, False), replace(config, top_k=3))
    assert found.index[0].tolist() == [1, 0, 0, 2, 3, 0]
    torch.testing.assert_close(found.weight[0, :2], torch.tensor([2.0, 1.0]).softmax(dim=0) / 2)
    assert (found.weight[0, [2, 5]] == 0).all()


@BOTH
@pytest.mark.parametrize(
    ("window", "radius", "cells"),
    [("circle", 2.0, 9), ("circle", 2.01, 13), ("circle", 5.0, 69), ("square", 2.0, 25), ("square", 2.9, 25)],
)
def test_windows_hold_the_cells_they_should(matcher, window, radius, cells):
    config = MatchConfig(window=window, radius_cells=radius, top_k=64)
    ones = torch.ones(11, 11, 1)
    middle = matcher(ones, ones[None], flags(False), config).score[60]
    assert (middle > -math.inf).sum() == min(cells, 64)


@BOTH
def test_circle_of_twelve_holds_437_cells(matcher):
    # Only the farthest ring scores 1; what is kept of it tells where the window ends.
    h = w = 25
    y, x = torch.meshgrid(torch.arange(h) - 12, torch.arange(w) - 12, indexing="ij")
    inside = y**2 + x**2 < 144
    assert inside.sum() == 437
    ring = (y**2 + x**2 >= 122).float()[..., None]
    found = matcher(torch.ones(h, w, 1), ring[None], flags(False), MatchConfig(top_k=64))
    kept = found.index[12 * w + 12][found.score[12 * w + 12] == 1]
    assert sorted(kept.tolist()) == (inside.flatten() & (ring.flatten() > 0)).nonzero()[:, 0].tolist()


@BOTH
def test_copies_tie_and_the_lowest_index_wins(matcher):
    frame = random_unit(9, 14, 64).sign()
    memory = frame.expand(6, 9, 14, 64)
    found = matcher(frame, memory, flags(True, *[False] * 5), MatchConfig(top_k=4))
    own = torch.arange(9 * 14)[:, None]
    assert torch.equal(found.index, own + 9 * 14 * torch.arange(4))
    torch.testing.assert_close(found.weight, torch.full_like(found.weight, 0.25))


@BOTH
def test_permanent_frames_are_searched_everywhere_unless_restricted(matcher):
    query, memory = torch.zeros(6, 30, 2), torch.zeros(2, 6, 30, 2)
    query[0, 0] = torch.tensor([1.0, 0.0])
    memory[1, 5, 29] = torch.tensor([1.0, 0.0])
    far = 1 * 180 + 5 * 30 + 29
    exempt = matcher(query, memory, flags(False, True), MatchConfig(radius_cells=3.0))
    assert (exempt.index[0, 0].item(), exempt.score[0, 0].item()) == (far, 1.0)
    for config, permanent in (
        (MatchConfig(radius_cells=3.0, exempt_permanent=False), flags(False, True)),
        (MatchConfig(radius_cells=3.0), flags(True, False)),
    ):
        restricted = matcher(query, memory, permanent, config)
        assert far not in restricted.index[0]
        assert restricted.score[0, 0] == 0


@BOTH
def test_one_cell_and_one_frame_leave_most_slots_unused(matcher):
    found = matcher(torch.ones(1, 1, 3), torch.ones(1, 1, 1, 3), flags(False), MatchConfig(top_k=4))
    assert found.index.tolist() == [[0, 0, 0, 0]]
    assert found.weight.tolist() == [[1, 0, 0, 0]]
    assert found.score.tolist() == [[3, -math.inf, -math.inf, -math.inf]]


@BOTH
def test_weights_sum_to_one_and_scores_fall(matcher):
    found = matcher(random_unit(8, 9, 16), random_unit(2, 8, 9, 16, seed=3), flags(True, False), MatchConfig())
    torch.testing.assert_close(found.weight.sum(dim=1), torch.ones(72))
    assert (found.score.diff(dim=1) <= 0).all()
    assert not found.weight.requires_grad


@BOTH
def test_views_and_features_with_gradient_are_taken(matcher):
    key = random_unit(3, 40, 7, 9).requires_grad_()  # c h w, as networks give them
    memory = random_unit(2, 40, 7, 9, seed=1)
    views = key[0:1].movedim(1, -1)[0] if key.ndim == 5 else key[0].movedim(0, -1)
    found = matcher(views, memory.movedim(1, -1), flags(True, False), MatchConfig(radius_cells=2.5))
    wanted = define(views.detach(), memory.movedim(1, -1), flags(True, False), MatchConfig(radius_cells=2.5))
    assert_same_but_for_near_ties(found, wanted)


def test_runs_and_thread_counts_agree_to_the_bit():
    query, memory = random_unit(23, 31, 64), random_unit(4, 23, 31, 64, seed=1)
    results = []
    for threads in (1, 2, 5, 1):
        torch.set_num_threads(threads)
        results.append(match(query, memory, flags(True, False, False, False), MatchConfig(radius_cells=5.0)))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_two_threads_may_match_at_once():
    torch.set_num_threads(2)
    problem = random_unit(20, 20, 64), random_unit(2, 20, 20, 64, seed=1), flags(True, False), MatchConfig()
    wanted, found = match(*problem), []
    threads = [threading.Thread(target=lambda: found.append(match(*problem))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(torch.equal(a, b) for one in found for a, b in zip(one, wanted, strict=True))


def test_other_number_formats_take_the_plain_way():
    problem = random_unit(6, 7, 16), random_unit(2, 6, 7, 16, seed=1), flags(True, False), MatchConfig(radius_cells=3.0)
    double = match(problem[0].double(), problem[1].double(), *problem[2:])
    assert double.score.dtype == torch.float64
    assert_same(double, define(problem[0].double(), problem[1].double(), *problem[2:]))
    half = problem[0].bfloat16(), problem[1].bfloat16(), *problem[2:]
    assert match(*half).score.dtype == torch.float32
    assert_same_but_for_near_ties(match(*half), define(*half))


def test_without_numba_the_plain_way_is_taken_and_said(monkeypatch, caplog):
    problem = random_unit(6, 7, 16), random_unit(2, 6, 7, 16, seed=1), flags(True, False), MatchConfig(radius_cells=3.0)
    wanted = match(*problem)
    monkeypatch.delattr(selfvos.ops.kernels, "window_topk", raising=False)
    monkeypatch.setitem(sys.modules, "selfvos.ops.kernels.window_topk", None)
    loading.window_kernel.cache_clear()
    try:
        with caplog.at_level(logging.INFO, logger="selfvos.ops.kernels.loading"):
            found = match(*problem)
    finally:
        loading.window_kernel.cache_clear()
    assert "without its compiled kernel" in caplog.text
    assert_same(found, wanted)


@BOTH
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("shape", "config"),
    [
        ((9, 10, 8), MatchConfig(radius_cells=1.0, top_k=3)),
        ((9, 10, 8), MatchConfig(radius_cells=1.0, top_k=3, per_frame=True)),
        ((17, 19, 96), MatchConfig(radius_cells=9.0)),
    ],
)
def test_broken_features_are_refused_and_located(matcher, value, shape, config):
    query, memory = random_unit(*shape), random_unit(3, *shape, seed=1)
    broken = memory.clone()
    broken[2, 4, 5] = value * memory[2, 4, 5].sign()
    with pytest.raises(DataError, match="memory frame 2"):
        matcher(query, broken, flags(True, False, False), config)
    for places in (0, slice(None)):
        broken = query.clone()
        broken[0, 0, places] = value
        with pytest.raises(DataError, match="the query frame"):
            matcher(broken, memory, flags(True, False, False), config)


@BOTH
def test_scores_that_overflow_are_refused(matcher):
    for shape in ((2, 2, 4), (16, 16, 96)):
        huge = torch.full(shape, 1e30)
        with pytest.raises(DataError, match="normalise"):
            matcher(huge, huge[None], flags(False), MatchConfig())


@pytest.mark.parametrize(
    ("query", "memory", "permanent"),
    [
        (torch.ones(2, 3, 4), torch.ones(1, 3, 3, 4), flags(True)),
        (torch.ones(2, 3, 4), torch.ones(1, 2, 3, 5), flags(True)),
        (torch.ones(2, 3, 4), torch.ones(2, 2, 3, 4), flags(True)),
        (torch.ones(2, 3, 4), torch.ones(0, 2, 3, 4), flags()),
        (torch.ones(2, 0, 4), torch.ones(1, 2, 0, 4), flags(True)),
        (torch.ones(2, 3, 4), torch.ones(1, 2, 3, 4).double(), flags(True)),
        (torch.ones(2, 3, 4), torch.ones(1, 2, 3, 4), torch.ones(1)),
    ],
)
def test_features_that_do_not_go_together_are_refused(query, memory, permanent):
    # Asked directly: while tests run, the annotations would refuse most of these first.
    with pytest.raises(UsageError, match="got"):
        matching._check(query, memory, permanent)


@BOTH
def test_the_check_guards_both_matchers(matcher):
    with pytest.raises(UsageError, match="at least one memory frame"):
        matcher(torch.ones(2, 3, 4), torch.ones(0, 2, 3, 4), flags(), MatchConfig())


@pytest.mark.parametrize(
    "settings",
    [
        {"top_k": 0},
        {"top_k": 65},
        {"radius_cells": 0.0},
        {"radius_cells": -1.0},
        {"radius_cells": math.nan},
        {"temperature": 0.0},
        {"temperature": math.inf},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        MatchConfig(**settings)
