import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfvos.ops.kernels import vectors
from selfvos.ops.kernels import window_topk as kernel

# A process of its own: its compiled code starts from an empty folder, its vectors may have another width.
PROGRAM = """
import json, os, sys, time
import numpy as np
from selfvos.ops.kernels import vectors, window_topk as kernel
vectors._LANES = int(sys.argv[1]) or vectors._LANES
rng = np.random.default_rng(0)
scene = rng.standard_normal((5, 43, 64), dtype=np.float32) * 2.0 ** -np.arange(64, dtype=np.float32)
query, *memory = scene + 0.01 * rng.standard_normal((3, 5, 43, 64), dtype=np.float32)
memory, reach = np.stack(memory), np.full((2, 5), 42)
start = time.process_time()
scores, cells = kernel.window_topk(query, memory, reach, 6, 2)
sifted = kernel.window_topk(query, memory, reach, 6, 2, np.eye(15, 64, dtype=np.float32))
spent = time.process_time() - start
wanted = query.reshape(-1, 64) @ memory.reshape(-1, 64).T
order = np.argsort(-wanted, axis=1)[:, :6]
right = bool((order == cells).all() and np.allclose(np.take_along_axis(wanted, order, 1), scores, atol=1e-4))
right &= bool((sifted[0] == scores).all() and (sifted[1] == cells).all())
child = os.fork()
if child == 0:
    os._exit(0 if (kernel.window_topk(query, memory, reach, 6, 2)[1] == cells).all() else 1)
forked = os.waitpid(child, 0)[1] == 0
hits = sum(kernel._search_band.stats.cache_hits.values())
print(json.dumps({"right": right, "forked": forked, "cpu_seconds": spent, "cache_hits": hits}))
"""


def run_alone(folder, lanes):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", PROGRAM, str(lanes)]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_compiles_quickly_once_and_survives_a_fork(tmp_path):
    cold, warm = run_alone(tmp_path, lanes=0), run_alone(tmp_path, lanes=0)
    assert cold["right"]
    assert warm["right"]
    assert cold["forked"]
    assert cold["cpu_seconds"] < 15
    assert (cold["cache_hits"], warm["cache_hits"]) == (0, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("lanes", sorted({4, 8, 16} - {vectors._LANES}))
def test_vectors_of_other_machines_give_the_same_matches(tmp_path, lanes):
    assert run_alone(tmp_path, lanes)["right"]


def test_steps_of_channels_suit_every_vector_width():
    assert kernel.CHANNEL_STEP % (16 * vectors._UNROLL) == 0
    assert vectors._LANES in (4, 8, 16)


def test_equal_pairs_score_equally_wherever_they_lie():
    # Whichever corner of a group of 3 x 4 a pair falls into, its products are added up in the same order.
    cell = np.random.default_rng(1).standard_normal(96, dtype=np.float32)
    query = np.broadcast_to(cell, (3, 41, 96)).copy()
    memory = np.broadcast_to(cell, (2, 3, 41, 96)).copy()
    scores, cells = kernel.window_topk(query, memory, np.full((2, 3), 40), 5, 1)
    assert (scores == scores[0, 0]).all()
    assert (cells == np.arange(5)).all()


def test_rows_out_of_reach_are_left_alone():
    query, memory = np.ones((4, 3, 32), np.float32), np.ones((1, 4, 3, 32), np.float32)
    scores, cells = kernel.window_topk(query, memory, np.array([[0, -1, -1, -1]]), 2, 1)
    assert cells[:, 0].tolist() == list(range(12))
    assert np.isneginf(scores[:, 1]).all()


def test_products_that_are_no_numbers_show_as_infinity():
    query, memory = np.ones((2, 8, 32), np.float32), np.ones((2, 2, 8, 32), np.float32)
    memory[0, 1, 6, 31] = np.nan
    scores, _ = kernel.window_topk(query, memory, np.full((2, 2), 1), 3, 1)
    assert (np.isposinf(scores[:, 0]).reshape(2, 8).sum(axis=0) == [0, 0, 0, 0, 0, 2, 2, 2]).all()


def draw_axes(rng, c):
    return np.ascontiguousarray(np.linalg.qr(rng.standard_normal((c, kernel.AXES)))[0].T, dtype=np.float32)


# Features between two extremes: all energy on a few axes, where nearly no pair passes, and none, where all do.
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 60)),
    channels=st.sampled_from([32, 64, 160]),
    k=st.sampled_from([1, 2, 10, 64]),
    noise=st.sampled_from([0.0, 1e-4, 1e-2, 0.3, 10.0]),
    size=st.sampled_from([1e-25, 1e-3, 1.0, 1e4]),
    seed=st.integers(0, 2**31),
)
def test_sifting_changes_nothing_to_the_bit(shape, channels, k, noise, size, seed):
    rng = np.random.default_rng(seed)
    n, h, w = shape
    axes = draw_axes(rng, channels)
    scene = rng.standard_normal((h, w, kernel.AXES)) @ axes + noise * rng.standard_normal((n + 1, h, w, channels))
    scene = (scene * size * rng.choice([1.0, 1e-2], (n + 1, h, w, 1))).astype(np.float32)
    problem = scene[-1].copy(), scene[:-1].copy(), rng.integers(-1, w, (n, h)), k
    for found, wanted in zip(kernel.window_topk(*problem, 2, axes), kernel.window_topk(*problem, 1), strict=True):
        assert (found == wanted).all()


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.1, 100.0])
@pytest.mark.parametrize("channels", [32, 256, 2048])
def test_products_of_sketches_stay_above_products_and_their_rounding(noise, channels):
    rng = np.random.default_rng(0)
    axes = draw_axes(rng, channels)
    cells = rng.standard_normal((1, 1, 200, kernel.AXES)) @ axes + noise * rng.standard_normal((1, 1, 200, channels))
    cells = (cells * 10.0 ** rng.integers(-3, 3, (1, 1, 200, 1))).astype(np.float32)
    sketches = kernel._sketch(cells, axes, 1)[: kernel.SKETCH * 200].reshape(kernel.SKETCH, 200).astype(np.float64)
    exact = cells[0, 0].astype(np.float64)
    length = np.linalg.norm(exact, axis=1)
    rounding = (channels / 4 + 40) * 2.0**-24 * np.outer(length, length)
    assert (sketches.T @ sketches >= exact @ exact.T + rounding).all()


def test_few_pairs_pass_where_few_can():
    rng = np.random.default_rng(0)
    axes = draw_axes(rng, 64)
    scene = (rng.standard_normal((1, 40, kernel.AXES)) @ axes).astype(np.float32)
    memory = scene[None] + 0.01 * rng.standard_normal((1, 1, 40, 64), dtype=np.float32)
    scores, cells = kernel.window_topk(scene, memory, np.full((1, 1), 39), 1, 1)
    sketches = kernel._sketch(scene[None], axes, 1), kernel._sketch(memory, axes, 1)
    lists = scores, cells, np.empty(12, np.float32)
    pending = np.empty((2, kernel._QUEUE), np.int64), np.zeros(1, np.int64)
    passed = kernel._sift_row(scene, memory, sketches, (0, 0, 40), 0, 39, lists, pending)
    assert 40 <= passed < 60


def test_products_that_are_no_numbers_pass_every_sketch():
    rng = np.random.default_rng(0)
    query, memory = (rng.standard_normal(shape, dtype=np.float32) for shape in ((2, 8, 32), (2, 2, 8, 32)))
    memory[0, 1, 6, 31] = np.nan
    memory[0, 1, 1, :] = -np.inf
    scores, _ = kernel.window_topk(query, memory, np.full((2, 2), 1), 3, 1, draw_axes(rng, 32))
    assert (np.isposinf(scores[:, 0]).reshape(2, 8) == [[1, 1, 1, 0, 0, 1, 1, 1]] * 2).all()
