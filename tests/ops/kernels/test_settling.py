import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfvos.ops.kernels import byte_tiles, byte_vectors, rounding, settling, window_bytes, window_topk

pytestmark = pytest.mark.skipif(not byte_vectors.AVAILABLE, reason="this processor does not multiply bytes")


SOME = st.booleans() if byte_tiles.allowed() else st.just(value=False)


def search(query, memory, reach, k, telling, workers=1, *, tiles=True):
    frames = rounding.RoundedFrames(tiles=tiles)
    known = window_bytes.Remembered(memory, frames, range(len(memory)), range(len(memory)))
    return window_bytes.window_topk(query, known, reach, k, workers, telling)


def allowed(reach, h, w):
    """Which memory cells each query cell may have (m, n h w)."""
    y, x = np.mgrid[:h, :w].reshape(2, -1)
    far = np.abs(y[:, None] - y)
    return np.concatenate([np.abs(x[:, None] - x) <= own[far] for own in reach], axis=1)


# From features that have nothing in common to the same everywhere, where sifting is given up.
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 60)),
    k=st.sampled_from([1, 2, 10]),
    alike=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    share=st.sampled_from([0.0, 0.02, 0.15]),
    tiles=SOME,
    seed=st.integers(0, 2**31),
)
def test_who_likes_a_cell_that_matters_gets_the_best_and_others_none_that_do(shape, k, alike, share, tiles, seed):
    rng = np.random.default_rng(seed)
    n, h, w = shape
    scene = alike * rng.standard_normal(64) + (1 - alike) * rng.standard_normal((n + 1, h, w, 64))
    query, memory = (part.astype(np.float32) for part in (scene[-1], scene[:-1]))
    reach, telling = rng.integers(-1, w, (n, h)), rng.random((n, h, w)) < share
    wanted = window_topk.window_topk(query, memory, reach, k, 1)
    found = search(query, memory, reach, k, telling, tiles=tiles)
    assert found is not None
    flat, full = np.append(telling.ravel(), False), [np.isfinite(scores) for scores, _ in (wanted, found)]
    assert (full[0] == full[1]).all()
    told = flat[np.where(full[0], wanted[1], -1)].any(axis=1) | ~full[0].all(axis=1)
    assert (found[1][told] == wanted[1][told])[full[0][told]].all()
    assert (found[0][told] == wanted[0][told]).all()
    others = ~told
    assert not flat[np.where(full[1], found[1], -1)][others].any()
    products = query.reshape(h * w, -1) @ memory.reshape(n * h * w, -1).T
    best = np.where(allowed(reach, h, w) & flat[:-1], products, -np.inf).max(axis=1, initial=-np.inf)
    assert (found[0][others, -1] >= best[others] - 1e-4 * np.abs(products).max()).all()


def test_threads_do_not_change_the_answer():
    rng = np.random.default_rng(0)
    scene = rng.standard_normal((1, 24, 40, 64)) + 0.5 * rng.standard_normal((5, 24, 40, 64))
    query, memory = (part.astype(np.float32) for part in (scene[-1], scene[:-1]))
    telling = np.zeros((4, 24, 40), bool)
    telling[:, 10:14, 5:9] = True
    first, second = (search(query, memory, np.full((4, 24), 12), 6, telling, workers) for workers in (1, 3))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_columns_that_matter():
    telling = np.zeros((1, 3, 40), bool)
    telling[0, 1, [7, 9]] = True
    assert settling.telling_spans(telling).tolist() == [[[0, 0], [7, 10], [0, 0]]]
    assert settling.telling_spans(~telling) is None, "nothing is won where most matters"
