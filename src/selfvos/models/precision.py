"""Whether half precision is faster here: not all processors that accept bfloat16 compute in it."""

import time
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

_TRIALS = 2
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls the instructions of processors that compute in bfloat16."""


def decide(wanted: str, device: torch.device) -> str:
    """Return ``float32`` or ``bfloat16``; ``auto`` goes by what the device has.

    A processor without instructions for bfloat16 only seems faster with it while others keep it busy, and masks would
    not be the same twice. Where nobody says what it has, or it has them, one convolution layer is timed in both.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if device.type != "cpu" or _instructions() == frozenset():
        return "float32"
    return _faster_on_cpu()


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which forward passes run."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def _instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """Return which instructions for bfloat16 this processor has; None where the system does not tell."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    known = [line.split(":", 1)[1].split() for line in lines if line.lower().startswith(("flags", "features"))]
    return frozenset(known[0]) & _INSTRUCTIONS if known else None


@lru_cache(maxsize=1)
def _faster_on_cpu() -> str:
    # Whoever asks may have switched gradients off; the trial needs them.
    with torch.inference_mode(False), torch.enable_grad():
        return min(("float32", "bfloat16"), key=lambda precision: _seconds(precision, torch.device("cpu")))


def _seconds(precision: str, device: torch.device) -> float:
    layer, x = nn.Conv2d(64, 64, 3, padding=1), torch.zeros(2, 64, 32, 32)
    times = []
    for _ in range(1 + _TRIALS):
        start = time.perf_counter()
        with autocast(precision, device):
            y = layer(x)
        y.float().sum().backward()
        times.append(time.perf_counter() - start)
    return min(times[1:])
