"""Which weights learn, how fast, and how the rate changes."""

import math

import torch
from torch import nn

from selfvos.models.segmenter import Segmenter
from selfvos.training.settings import OptimizerConfig

_FLOOR = 0.01


def make_optimizer(model: Segmenter, objectives: nn.Module, config: OptimizerConfig) -> torch.optim.Adam:
    """Make Adam over everything that requires a gradient: encoder, mask path, heads of objectives; biases apart.

    Source:
        Mask-VOS, released code: doubled rate and no decay for biases; normalisation is treated like a bias.
    """
    groups = []
    encoder = [*model.encoder.named_parameters(), *objectives.named_parameters()]
    path = list(model.mask_path.named_parameters()) if model.mask_path is not None else []
    for named, lr in ((encoder, config.lr), (path, config.mask_lr)):
        learning = [p for _, p in named if p.requires_grad]
        weights = [p for p in learning if p.ndim > 1]
        biases = [p for p in learning if p.ndim <= 1]
        if weights:
            groups.append({"params": weights, "lr": lr, "weight_decay": config.weight_decay})
        if biases:
            groups.append({"params": biases, "lr": lr * config.bias_lr_factor, "weight_decay": 0.0})
    for group in groups:
        group["base_lr"] = group["lr"]
    return torch.optim.Adam(groups, betas=config.betas)


def rate_factor(config: OptimizerConfig, *, step: int, steps_per_epoch: int, steps: int) -> float:
    """Return what the base rates are multiplied with at a step, in [0, 1]."""
    warm = min(1.0, (step + 1) / config.warm_steps) if config.warm_steps else 1.0
    if config.schedule == "cosine":
        return warm * (_FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * step / max(steps, 1))) / 2)
    return warm * 0.5 ** (step // (steps_per_epoch * config.halve_epochs))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Bring every group to `factor` times its base rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
