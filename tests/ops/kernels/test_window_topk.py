import json
import os
import subprocess
import sys

import numpy as np
import pytest

from selfvos.ops.kernels import window_topk as kernel

# A process of its own: its compiled code starts from an empty folder, its vectors may have another width.
PROGRAM = """
import json, os, sys, time
import numpy as np
from selfvos.ops.kernels import window_topk as kernel
kernel._LANES = int(sys.argv[1]) or kernel._LANES
rng = np.random.default_rng(0)
query = rng.standard_normal((5, 43, 64), dtype=np.float32)
memory = rng.standard_normal((2, 5, 43, 64), dtype=np.float32)
reach = np.full((2, 5), 42)
start = time.process_time()
scores, cells = kernel.window_topk(query, memory, reach, 6, 2)
spent = time.process_time() - start
wanted = query.reshape(-1, 64) @ memory.reshape(-1, 64).T
order = np.argsort(-wanted, axis=1)[:, :6]
right = bool((order == cells).all() and np.allclose(np.take_along_axis(wanted, order, 1), scores, atol=1e-4))
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
@pytest.mark.parametrize("lanes", sorted({4, 8, 16} - {kernel._LANES}))
def test_vectors_of_other_machines_give_the_same_matches(tmp_path, lanes):
    assert run_alone(tmp_path, lanes)["right"]


def test_steps_of_channels_suit_every_vector_width():
    assert kernel.CHANNEL_STEP % (16 * kernel._UNROLL) == 0
    assert kernel._LANES in (4, 8, 16)


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


def test_code_without_a_file_is_compiled_without_a_cache():
    scope = {}
    exec("def double(x):\n    return 2 * x", scope)
    assert kernel._compiled(scope["double"])(21) == 42
