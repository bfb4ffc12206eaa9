import importlib.util
import math
import os
import pickle
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from selfvos.ops import matching
from selfvos.ops.matching import MatchConfig, match_plain

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

# A process of its own: triton decides when it is imported whether it interprets, for good and for everyone.
SERVER = """
import pickle, sys
from jaxtyping import install_import_hook
install_import_hook("selfvos", "beartype.beartype")
from selfvos.ops.kernels import triton_topk as kernel
while True:
    try:
        device, programs, name, arguments = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    kernel._PROGRAMS = programs
    found = getattr(kernel, name)(*(a.to(device) if hasattr(a, "to") else a for a in arguments))
    found = tuple(a.cpu() for a in found) if isinstance(found, tuple) else found.cpu()
    pickle.dump(found, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""

COMPILER = """
import triton
from triton.backends.compiler import GPUTarget
from selfvos.ops.kernels import triton_topk as kernel
import torch

def compile_for_hopper(function, types, constants, **options):
    types = {name: types.get(name, "constexpr") for name in function.arg_names}
    source = triton.compiler.ASTSource(function, types, constants)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]

for dtype, name, taken, shunned in (
    (torch.bfloat16, "bf16", ".f32.bf16.bf16", "tf32"), (torch.float32, "fp32", "fma.rn.f32", "tf32")
):
    options = kernel._shape_of_product(dtype)
    constants = dict(C=96, K=4, SLOTS=4, PARTS=4, HEIGHT=64, TILE=8, BLOCK_ROWS=2, BLOCK_COLUMNS=32)
    constants["CHANNELS"] = options.pop("CHANNELS")
    types = dict(query="*" + name, memory="*" + name, reach="*i32", lists="*i64", n="i32", h="i32", w="i32")
    text = compile_for_hopper(kernel._search, types, constants, **options)
    assert taken in text and shunned not in text
types = dict(lists="*i64", score="*fp32", index="*i64", m="i32")
assert "st.global" in compile_for_hopper(kernel._merge, types, dict(K=10, KEYS=64, CELLS=16))
types = dict(values="*bf16", index="*i64", weight="*fp32", mixed="*bf16", m="i32", c="i32")
assert "st.global" in compile_for_hopper(kernel._mix, types, dict(K=10, CELLS=16, CHANNELS=128))
"""


def start(program, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def kernel(request):
    """Call a function of the kernel's module elsewhere: interpreted, and where there is one on the GPU."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    with start(SERVER, TRITON_INTERPRET="1" if request.param == "cpu" else "0") as process:

        def call(name, *arguments, programs=1):
            pickle.dump((request.param, programs, name, arguments), process.stdin)
            process.stdin.flush()
            return pickle.load(process.stdout)

        yield call
        process.stdin.close()


def find(kernel, query, memory, permanent, config, **options):
    h, w = query.shape[:2]
    window = torch.from_numpy(matching.window_reach(config, h, w))
    reach = torch.where(matching._is_free(permanent, config)[:, None], w - 1, window)
    return kernel("window_topk", query, memory, reach, config.top_k, **options)


def whole_numbers(*shape, seed):
    """Products of these are exact in every order, so ties are true ties for every implementation."""
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).float()


def assert_same(found, wanted):
    assert torch.equal(found[0], wanted.score)
    assert torch.equal(found[1], wanted.index)


@pytest.mark.parametrize(
    ("n", "h", "w", "c", "config"),
    [
        (1, 1, 1, 3, MatchConfig(top_k=4)),
        (1, 9, 10, 33, MatchConfig(top_k=1, window="square", radius_cells=2.0)),
        (2, 5, 8, 40, MatchConfig(top_k=10, radius_cells=2.5)),
        (2, 3, 5, 64, MatchConfig(top_k=64, radius_cells=math.inf)),
        (2, 1, 37, 7, MatchConfig(top_k=2, radius_cells=40.0)),
        (2, 9, 1, 1, MatchConfig(top_k=3, radius_cells=3.0, exempt_permanent=False)),
    ],
)
def test_matches_are_those_of_the_plain_version(kernel, n, h, w, c, config):
    problem = whole_numbers(h, w, c, seed=0), whole_numbers(n, h, w, c, seed=1), torch.arange(n) == 0, config
    assert_same(find(kernel, *problem), match_plain(*problem))


def test_half_precision_is_summed_in_single(kernel):
    query, memory, permanent = whole_numbers(4, 6, 70, seed=0), whole_numbers(2, 4, 6, 70, seed=1), torch.zeros(2) > 0
    query[..., 0], memory[..., 0] = 64, 32  # float16 has no odd numbers above 2048
    problem = query.half(), memory.half(), permanent, MatchConfig(top_k=6, radius_cells=3.0)
    assert_same(find(kernel, *problem), match_plain(*problem))


def test_bfloat16_is_summed_in_single(kernel, request):
    if request.node.callspec.params["kernel"] == "cpu":
        pytest.skip("triton's interpreter multiplies the bits of bfloat16 as whole numbers")
    query, memory = whole_numbers(4, 6, 70, seed=0).bfloat16(), whole_numbers(2, 4, 6, 70, seed=1).bfloat16()
    problem = query, memory, torch.zeros(2) > 0, MatchConfig(top_k=6, radius_cells=3.0)
    assert_same(find(kernel, *problem), match_plain(*problem))


def test_real_numbers_score_as_in_double_precision(kernel):
    generator = torch.Generator().manual_seed(0)
    query = F.normalize(torch.randn(5, 7, 48, generator=generator), dim=-1)
    memory = F.normalize(torch.randn(2, 5, 7, 48, generator=generator), dim=-1)
    problem = torch.arange(2) == 1, MatchConfig(top_k=4, radius_cells=2.0)
    score, index = find(kernel, query, memory, *problem)
    wanted = match_plain(query.double(), memory.double(), *problem)
    torch.testing.assert_close(score.double(), wanted.score, atol=1e-6, rtol=0)
    assert torch.equal(index, wanted.index)


def test_copies_tie_and_the_lowest_cell_wins(kernel):
    frame = whole_numbers(7, 8, 64, seed=2).sign()
    problem = frame, frame.expand(3, 7, 8, 64), torch.zeros(3) > 0, MatchConfig(top_k=2, radius_cells=1.5)
    score, index = find(kernel, *problem)
    assert torch.equal(index, torch.arange(56)[:, None] + 56 * torch.arange(2))
    assert_same((score, index), match_plain(*problem))


def test_flat_frames_tie_everywhere(kernel):
    flat = torch.ones(5, 8, 2)
    problem = flat, flat.expand(2, 5, 8, 2), torch.arange(2) == 0, MatchConfig(top_k=2, radius_cells=3.0)
    assert find(kernel, *problem)[1].tolist() == [[0, 1]] * 40


@pytest.mark.parametrize("programs", [2, 8])
def test_the_result_does_not_show_among_how_many_the_work_was_shared(kernel, programs):
    problem = whole_numbers(7, 8, 5, seed=3), whole_numbers(2, 7, 8, 5, seed=4), torch.arange(2) == 0
    problem = *problem, MatchConfig(top_k=3, radius_cells=3.0)
    assert_same(find(kernel, *problem, programs=programs), match_plain(*problem))


def test_rows_and_frames_out_of_reach_are_left_alone(kernel):
    query, memory = torch.ones(4, 3, 2), torch.ones(2, 4, 3, 2)
    reach = torch.tensor([[-1, -1, -1, -1], [0, -1, 1, -1]])
    score, index = kernel("window_topk", query, memory, reach, 4)
    assert [sorted(cells[cells > 0]) for cells in index.numpy()][:5] == [
        [12, 18, 19],
        [13, 18, 19, 20],
        [14, 19, 20],
        [15, 21, 22],
        [16, 21, 22, 23],
    ]
    assert (score > -math.inf).sum(dim=1).tolist() == [3, 4, 3] * 4
    assert (index[score == -math.inf] == 0).all()


def test_products_that_are_no_numbers_show_as_infinity(kernel):
    query, memory = torch.ones(2, 8, 3), torch.ones(2, 2, 8, 3)
    memory[0, 1, 6, 2] = math.nan
    score, index = kernel("window_topk", query, memory, torch.full((2, 2), 1), 3)
    assert (score[:, 0].isposinf().reshape(2, 8).sum(dim=0)).tolist() == [0, 0, 0, 0, 0, 2, 2, 2]
    assert (index[score.isposinf()] == 14).all()
    memory[0, 1, 6, 2] = -math.inf
    score, index = kernel("window_topk", query, memory, torch.full((2, 2), 0), 4)
    assert score[14].tolist() == [3, 3, 3, -math.inf]
    assert index[14].tolist() == [6, 22, 30, 0]


@pytest.mark.parametrize(("c", "k"), [(1, 1), (3, 5), (130, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reading_equals_the_weighted_sum(kernel, c, k, dtype):
    generator = torch.Generator().manual_seed(c)
    values = torch.randn(50, c, generator=generator).to(dtype)
    index = torch.randint(0, 50, (21, k), generator=generator)
    weight = torch.rand(21, k, generator=generator)
    found = kernel("read", values, index, weight)
    wanted = (values.double()[index] * weight[..., None]).sum(dim=1)
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted.to(dtype))


def test_kernels_compile_for_a_gpu_that_is_not_there(tmp_path):
    # bfloat16 reaches the tensor cores, float32 keeps all its digits.
    with start(COMPILER, TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0") as process:
        assert process.wait() == 0
