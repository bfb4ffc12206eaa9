"""Whether half precision is faster here: not all processors that accept bfloat16 compute in it."""

import time
from functools import lru_cache

import torch
from torch import nn

_TRIALS = 2


def decide(wanted: str, device: torch.device) -> str:
    """Return ``float32`` or ``bfloat16``; ``auto`` is settled by timing one convolution layer in both."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if device.type != "cpu":
        return "float32"
    return _faster_on_cpu()


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which forward passes run."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


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
