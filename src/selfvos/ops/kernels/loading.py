"""Which compiled kernels can run here: each is loaded when it is first asked for, and never required."""

import logging
from functools import lru_cache
from types import ModuleType

import numpy as np
import torch

logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def window_kernel() -> ModuleType | None:
    """Return the kernel that multiplies float32 on the CPU, if numba is there."""
    try:
        from selfvos.ops.kernels import window_topk
    except ImportError as error:
        logger.info("matching runs without its compiled kernel, several times slower: %s", error)
        return None
    return window_topk


@lru_cache(maxsize=1)
def byte_kernel() -> ModuleType | None:
    """Return the kernel that multiplies bytes, if this processor has the instruction, and numba knows it."""
    from selfvos.ops.kernels import byte_vectors, window_bytes

    if not byte_vectors.AVAILABLE:
        return None
    cells = np.ones((1, 1, window_bytes.CHANNEL_STEP), dtype=np.float32)
    try:
        known = window_bytes.Remembered(cells[None], window_bytes.RoundedFrames(), (0,), (0,))
        window_bytes.window_topk(cells, known, np.zeros((1, 1), dtype=np.int64), 1, 1)
    except Exception as error:  # whatever a compiler of another version has to say
        logger.info("matching runs without products of bytes, some four times slower: %s", error)
        return None
    return window_bytes


@lru_cache(maxsize=1)
def convolution_kernel() -> ModuleType | None:
    """Return the kernel that transforms maps before and after they are convolved on the CPU, if numba is there."""
    from selfvos.ops.kernels import winograd

    maps, parts = np.zeros((1, 1, winograd.LANES), np.float32), np.zeros((36, 1, winograd.LANES), np.float32)
    try:
        winograd.see_maps(maps, range(1), parts)
        winograd.make_maps(parts, maps[0, 0], range(1), maps)
    except Exception as error:  # whatever a compiler of another version has to say
        logger.info("networks run without a kernel of this package, some two times slower: %s", error)
        return None
    return winograd


@lru_cache
def gpu_kernels(device: torch.device, dtype: torch.dtype) -> ModuleType | None:
    """Return the Triton kernels if they can run there: compute capability 8.0, at most 32 bits, Triton installed."""
    if dtype == torch.float64 or torch.cuda.get_device_capability(device) < (8, 0):
        return None
    try:
        from selfvos.ops.kernels import triton_topk
    except ImportError as error:
        logger.info("matching runs without its GPU kernel, several times slower: %s", error)
        return None
    return triton_topk
