"""How many threads compute: as many as help on this machine at this moment."""

import os
import time

import torch
from torch.nn import functional as F

from selfvos.api.memory import share_arenas
from selfvos.errors import UsageError

_WARM_UP, _ROUNDS = 2, 12
_WORTH_IT = 0.85
"""Share of the time that fewer threads must need, to be taken: two short trials never agree exactly."""


def use_threads(wanted: int | None = None) -> int:
    """Set how many threads torch and the compiled kernels compute with, and return it.

    Where others keep the machine busy, all threads wait for the one whose core is taken, again at every operation:
    on two cores with five busy processes, tracking with two threads was 16 times slower than with one. So a trial of
    a tenth of a second decides, unless the caller or ``OMP_NUM_THREADS`` does. From then on all threads share arenas of
    memory.

    Args:
        wanted: Threads, at least 1; None to have them chosen.

    Raises:
        UsageError: Fewer than one thread.
    """
    if wanted is not None and wanted < 1:
        raise UsageError(f"threads must be at least 1, got {wanted}")
    share_arenas()
    if wanted is None and os.environ.get("OMP_NUM_THREADS"):
        return torch.get_num_threads()
    chosen = wanted if wanted is not None else _fastest(torch.get_num_threads())
    torch.set_num_threads(chosen)
    return chosen


def _fastest(most: int) -> int:
    best, needed = most, float("inf")
    for threads in sorted({most, max(1, most // 2), 1}, reverse=True):
        seconds = _trial(threads)
        if seconds < _WORTH_IT * needed:
            best, needed = threads, seconds
    return best


@torch.inference_mode()
def _trial(threads: int) -> float:
    """Time a few convolutions of the size that tracking is made of, in seconds."""
    torch.set_num_threads(threads)
    frame, kernel = torch.ones(1, 64, 60, 104), torch.ones(64, 64, 3, 3)
    for _ in range(_WARM_UP):
        F.conv2d(frame, kernel, padding=1)
    begin = time.perf_counter()
    for _ in range(_ROUNDS):
        F.conv2d(frame, kernel, padding=1)
    return time.perf_counter() - begin
