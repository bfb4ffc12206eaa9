import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfvos.ops.kernels import byte_tiles, byte_vectors, rounding, sifting, window_bytes, window_topk
from selfvos.ops.known_frames import KnownFrames, MatchCache
from selfvos.ops.matching import MatchConfig, _main_axes, match
from selfvos.ops.whitening import WhitenConfig, fit_whitening

pytestmark = pytest.mark.skipif(not byte_vectors.AVAILABLE, reason="this processor does not multiply bytes")
BOTH = [False, pytest.param(True, marks=pytest.mark.skipif(not byte_tiles.allowed(), reason="no tiles here"))]
SOME = st.booleans() if byte_tiles.allowed() else st.just(value=False)


def search(query, memory, reach, k, workers=1, frames=None, ids=None, telling=None):
    order = range(len(memory))
    known = window_bytes.Remembered(memory, frames or rounding.RoundedFrames(), ids or order, order)
    return window_bytes.window_topk(query, known, reach, k, workers, telling)


def draw(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


# From features that have nothing in common, where few pairs pass, to the same everywhere, where all do.
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 60)),
    channels=st.sampled_from([32, 64, 160, 192]),
    k=st.sampled_from([1, 2, 10, 64]),
    alike=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    size=st.sampled_from([1e-25, 1e-3, 1.0, 1e4]),
    tiles=SOME,
    seed=st.integers(0, 2**31),
)
def test_the_answer_is_that_of_multiplying_everything_to_the_bit(shape, channels, k, alike, size, tiles, seed):
    rng = np.random.default_rng(seed)
    n, h, w = shape
    scene = alike * draw(rng, channels) + (1 - alike) * draw(rng, n + 1, h, w, channels)
    scene = (scene * size * rng.choice([1.0, 1e-2], (n + 1, h, w, 1))).astype(np.float32)
    query, memory, reach = scene[-1].copy(), scene[:-1].copy(), rng.integers(-1, w, (n, h))
    wanted = window_topk.window_topk(query, memory, reach, k, 1)
    frames = rounding.RoundedFrames(tiles=tiles)
    for found, right in zip(search(query, memory, reach, k, 2, frames), wanted, strict=True):
        assert (found == right).all()


@pytest.mark.parametrize("tiles", BOTH)
def test_few_pairs_are_candidates_where_few_can_count(tiles):
    rng = np.random.default_rng(0)
    scene = draw(rng, 20, 40, 128)
    memory = np.stack([scene + 0.3 * draw(rng, 20, 40, 128) for _ in range(3)])
    rounded = rounding.RoundedFrames(tiles=tiles).round(scene, memory, range(3), 1)
    candidates = sifting.no_candidates(800, 4, rounded)
    lists = np.full((800, 4), -np.inf, np.float32), np.full((800, 4), 2**62, np.int64)
    given_to = tuple(rounded), tuple(candidates)
    visit = np.full((3, 20), 39), np.array([2, 1, 0])
    window_bytes.search_band(scene, memory, *given_to, visit, (0, 20), lists)
    products = scene.reshape(800, 128) @ memory.reshape(2400, 128).T
    floor = (candidates.floor[:800] - rounded.start) * rounded.unit
    passing = (products >= floor[:, None]).sum(axis=1)
    assert (passing >= 4).all()
    assert np.median(passing) < 40


def unpacked(rounded, rows, columns, channels):
    """Memory cells of rows that lie one after the other (r c)."""
    tiles = -(-columns // byte_tiles.SIDE)
    if rounded.tiled:
        packed = rounded.memory[: rows * tiles * byte_tiles.SIDE * channels]
        packed = packed.reshape(rows, tiles, channels // 4, byte_tiles.SIDE, 4).transpose(0, 1, 3, 2, 4)
        return packed.reshape(rows, -1, channels)[:, :columns].reshape(-1, channels)
    packed = rounded.memory[: rows * columns * (channels + 4)].reshape(rows, channels // 4 + 1, columns, 4)[:, :-1]
    return packed.transpose(0, 2, 1, 3).reshape(-1, channels)


@pytest.mark.parametrize("tiles", BOTH)
@pytest.mark.parametrize("channels", [32, 256, 2048])
@pytest.mark.parametrize("outlier", [1.0, 30.0])
def test_products_of_rounded_cells_are_off_by_no_more_than_is_said(channels, outlier, tiles):
    rng = np.random.default_rng(0)
    query, memory = draw(rng, 5, 40, channels), draw(rng, 2, 5, 40, channels)
    query *= 10.0 ** rng.integers(-3, 3, (5, 40, 1))
    memory[1, 3, 7, 5] *= outlier  # in a row that the size of a step is not taken from
    rounded = rounding.RoundedFrames(tiles=tiles).round(query, memory, range(2), 1)
    assert rounded.tiled == (tiles and channels > 32)
    packed = unpacked(rounded, 10, 40, channels).astype(np.float64)
    products = rounded.query[:200].astype(np.float64) @ packed.T - rounded.start[:, None]
    exact = query.reshape(200, -1).astype(np.float64) @ memory.reshape(400, -1).astype(np.float64).T
    assert (np.abs(products - exact / rounded.unit) <= rounded.error[:, None]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e20])
@pytest.mark.parametrize("where", ["query", "memory"])
def test_what_is_no_number_or_too_large_is_left_to_others(value, where):
    rng = np.random.default_rng(0)
    query, memory = draw(rng, 9, 20, 32), draw(rng, 2, 9, 20, 32)
    (query if where == "query" else memory[1])[3, 6, 31] = value
    assert search(query, memory, np.full((2, 9), 5), 3) is None


@pytest.mark.parametrize("tiles", BOTH)
def test_frames_are_rounded_once_and_found_again(tiles):
    rng = np.random.default_rng(0)
    frames, taken = rounding.RoundedFrames(tiles=tiles), []
    pool = {i: draw(rng, 8, 30, 64) for i in range(7)}
    pool[5] *= 20  # needs larger steps than those that came before
    query, reach = draw(rng, 8, 30, 64), np.full((3, 8), 29)
    for ids in ([0], [0, 1], [0, 1, 2], [0, 3, 2], [4, 0, 3], [0, 5, 4], [0, 5, 6], [6, 6, 0]):
        memory = np.stack([pool[i] for i in ids])
        found = search(query, memory, reach[: len(ids)], 5, 1, frames, ids)
        wanted = window_topk.window_topk(query, memory, reach[: len(ids)], 5, 1)
        assert all((a == b).all() for a, b in zip(found, wanted, strict=True))
        taken.append(len(frames._ids))
    assert max(taken) <= 5


def test_known_frames_are_not_looked_at_again():
    rng = np.random.default_rng(0)
    frames, query, memory = rounding.RoundedFrames(), draw(rng, 8, 30, 32), draw(rng, 2, 8, 30, 32)
    first = frames.round(query, memory, "ab", 1)
    again = frames.round(query, np.full_like(memory, np.nan), "ba", 1)
    assert again.slot.tolist() == first.slot.tolist()[::-1]
    assert np.shares_memory(again.memory, first.memory)


def whitened(rng, n, h, w, channels):
    """Return frames of a scene that moves and changes a little, whitened by the first one."""
    scale = 1 / np.arange(1, channels + 1, dtype=np.float32)
    scene = np.kron(draw(rng, h // 4 + 1, w // 4 + n, channels), np.ones((4, 4, 1), np.float32))
    frames = np.stack([scene[:h, t : t + w] + 0.3 * draw(rng, h, w, channels) for t in range(n)]) * scale
    frames = torch.from_numpy(frames)
    whitening = fit_whitening(frames[0], WhitenConfig(shrinkage=0.03))
    return torch.stack([whitening(frame) for frame in frames]).numpy()


@pytest.mark.parametrize("tiles", BOTH)
@pytest.mark.parametrize("channels", [96, 192])
def test_guesses_miss_fewer_than_one_match_in_a_thousand(channels, tiles):
    frames = whitened(np.random.default_rng(0), 7, 40, 60, channels)
    query, memory, reach = frames[-1].copy(), frames[:-1].copy(), np.full((6, 40), 14)
    found = search(query, memory, reach, 6, 2, rounding.RoundedFrames(leading=True, tiles=tiles))
    wanted = window_topk.window_topk(query, memory, reach, 6, 1)
    kept = (found[1][:, :, None] == wanted[1][:, None, :]).any(axis=2)
    assert kept.mean() > 0.999
    assert (found[0][kept] == np.sort(wanted[0], axis=1)[:, ::-1][kept]).mean() > 0.999


@pytest.mark.parametrize(
    ("channels", "first"), [(32, 32), (64, 64), (96, 32), (128, 64), (192, 64), (384, 128), (2048, 2048)]
)
def test_a_third_of_the_channels_comes_first_where_it_may_be_guessed(channels, first):
    cells = draw(np.random.default_rng(0), 1, 4, 5, channels)
    assert rounding.RoundedFrames(leading=True, tiles=False).round(cells[0], cells, [0], 1).first == first
    assert rounding.RoundedFrames(tiles=False).round(cells[0], cells, [0], 1).first == channels


def test_guesses_spare_most_products_in_full():
    frames = whitened(np.random.default_rng(0), 7, 40, 60, 192)
    query, memory = frames[-1].copy(), frames[:-1].copy()
    rounded = rounding.RoundedFrames(leading=True, tiles=False).round(query, memory, range(6), 1)
    assert rounded.first == 64
    candidates = sifting.no_candidates(2400, 6, rounded)
    lists = np.full((2400, 6), -np.inf, np.float32), np.full((2400, 6), 2**62, np.int64)
    visit = np.full((6, 40), 59), np.arange(6)[::-1].copy()
    window_bytes.search_band(query, memory, tuple(rounded), tuple(candidates), visit, (0, 40), lists)
    words = candidates.words[:2400].view(np.int16).reshape(-1, 2).astype(np.float64)
    step = np.sqrt(rounded.unit)
    first = (query.reshape(2400, 192)[:, :64] @ memory.reshape(-1, 192)[:, :64].T) / step**2
    length = np.linalg.norm(memory.reshape(-1, 192)[:, :64], axis=1) / step
    assert (first + words[:, :1] * length >= 0).mean() < 0.05


# However little the first channels say of the others, and however alike all cells are, lists are full and in order.
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 60)),
    channels=st.sampled_from([32, 96, 128, 160, 1024]),
    k=st.sampled_from([1, 6, 64]),
    telling=st.sampled_from([None, 0.0, 0.02, 0.15]),
    alike=st.sampled_from([0.0, 0.9, 1.0]),
    silent=st.sampled_from([0, 40, 96]),
    tiles=SOME,
    seed=st.integers(0, 2**31),
)
def test_guesses_leave_no_list_short(shape, channels, k, telling, alike, silent, tiles, seed):
    rng = np.random.default_rng(seed)
    n, h, w = shape
    scene = alike * draw(rng, channels) + (1 - alike) * draw(rng, n + 1, h, w, channels)
    scene[..., :silent] = 0
    scene /= np.maximum(np.linalg.norm(scene, axis=-1, keepdims=True), 1e-6)
    query, memory = scene[-1].astype(np.float32), scene[:-1].astype(np.float32)
    reach = rng.integers(-1, w, (n, h))
    told = None if telling is None else rng.random((n, h, w)) < telling
    frames = rounding.RoundedFrames(leading=True, tiles=tiles)
    scores, cells = search(query, memory, reach, k, 1, frames, telling=told)
    wanted, _ = window_topk.window_topk(query, memory, reach, k, 1)
    assert (np.isfinite(scores) == np.isfinite(wanted)).all()
    products = query.reshape(h * w, 1, -1) * memory.reshape(n * h * w, -1)[np.where(np.isfinite(scores), cells, 0)]
    assert np.allclose(scores[np.isfinite(scores)], products.sum(axis=2)[np.isfinite(scores)], atol=1e-5)
    assert (scores <= wanted + 1e-6).all()


def test_the_order_of_frames_does_not_change_the_answer():
    rng = np.random.default_rng(0)
    query, memory, reach = draw(rng, 12, 30, 96), draw(rng, 5, 12, 30, 96), np.full((5, 12), 9)
    wanted = window_topk.window_topk(query, memory, reach, 4, 1)
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        known = window_bytes.Remembered(memory, rounding.RoundedFrames(), range(5), order)
        for found in (
            window_bytes.window_topk(query, known, reach, 4, 2),
            window_topk.window_topk(query, memory, reach, 4, 1, None, order),
        ):
            assert all((a == b).all() for a, b in zip(found, wanted, strict=True))


def test_what_may_be_guessed_is_multiplied_in_bytes_whatever_has_become_of_the_features():
    rng = np.random.default_rng(0)
    main = draw(rng, 7, 96) / np.arange(1, 97, dtype=np.float32) ** 0.5
    frames = torch.from_numpy(draw(rng, 4, 20, 30, 7) @ main + 0.02 * draw(rng, 4, 20, 30, 96))
    frames = torch.nn.functional.normalize(frames, dim=-1)
    config, permanent = MatchConfig(top_k=4, radius_cells=12.0), torch.zeros(3, dtype=torch.bool)
    assert _main_axes(frames[3].numpy(), window_topk.AXES) is not None, "sketches would do for these"
    for leading in (True, False):
        known = KnownFrames(MatchCache(leading=leading), (0, 1, 2))
        match(frames[3], frames[:3].contiguous(), permanent, config, known)
        assert (known.cache.rounded is not None) == leading


@pytest.mark.skipif(not byte_tiles.allowed(), reason="no tiles here")
def test_tiles_are_shared_with_torch():
    rng = np.random.default_rng(0)
    maps = torch.from_numpy(draw(rng, 1, 64, 40, 40)).bfloat16()
    weight = torch.from_numpy(draw(rng, 64, 64, 3, 3)).bfloat16()
    query, memory, reach = draw(rng, 20, 40, 64), draw(rng, 2, 20, 40, 64), np.full((2, 20), 9)
    convolved = torch.nn.functional.conv2d(maps, weight)
    found = search(query, memory, reach, 5)
    for _ in range(3):
        assert (torch.nn.functional.conv2d(maps, weight) == convolved).all()
        assert all((a == b).all() for a, b in zip(search(query, memory, reach, 5), found, strict=True))


def test_without_leave_to_use_them_there_are_no_tiles(monkeypatch):
    cells = draw(np.random.default_rng(0), 1, 4, 5, 64)
    assert rounding.RoundedFrames().round(cells[0], cells, [0], 1).tiled == byte_tiles.allowed()
    monkeypatch.setattr(byte_tiles, "allowed", lambda: False)
    assert not rounding.RoundedFrames().round(cells[0], cells, [0], 1).tiled
