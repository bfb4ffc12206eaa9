"""One step of learning: losses, gradients, the optimiser's step, and patience with losses that are not finite."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from selfvos.errors import Diverged, Stopped
from selfvos.models.precision import autocast
from selfvos.training.distributed import World
from selfvos.types import Clip

log = logging.getLogger(__name__)

_PATIENCE = 3

Keep = Callable[[Clip], Path | None]
"""Keeps a step that went wrong; returns where, or None where it was not kept."""


@dataclass
class Update:
    """What one step needs besides the clip."""

    module: nn.Module
    """A `TrainingStep`, wrapped where several processes have to agree."""
    optimizer: torch.optim.Optimizer
    clip_norm: float
    """Gradients are scaled down to this norm; 0 leaves them."""
    precision: str
    world: World
    run: Path
    """Folder of the run, for messages."""
    failures: int = 0
    """Steps left out in a row."""

    def step(self, clip: Clip, generator: torch.Generator, keep: Keep) -> tuple[dict[str, float], bool]:
        """Learn from a batch of clips.

        Args:
            clip: The batch.
            generator: Source of all randomness.
            keep: Told to keep the step where loss or gradient is not finite, with the weights as they were.

        Returns:
            Losses by name, and whether the weights were changed: where loss or gradient is not finite, they are not.

        Raises:
            Diverged: That happened several times in a row.
            Stopped: The step was left, see `leaving`; nothing has changed.
        """
        self.optimizer.zero_grad(set_to_none=True)
        before = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        try:
            with autocast(self.precision, self.world.device):
                total, parts = self.module(clip, generator)
            total.backward()
        except Stopped:
            self._take_back(before)
            raise
        learning = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(learning, self.clip_norm or math.inf)
        losses = {
            "loss": float(total.detach()),
            **{k: float(v) for k, v in parts.items()},
            "gradient_norm": float(norm),
        }
        finite = math.isfinite(losses["loss"]) and math.isfinite(losses["gradient_norm"])
        if self.world.any(flag=not finite):
            self._take_back(before)
            self._tolerate(losses, keep(clip))
            return losses, False
        self.failures = 0
        self.optimizer.step()
        return losses, True

    def _take_back(self, before: dict[str, Tensor]) -> None:
        """Forget what normalisation has gathered of a batch: it would end in the next checkpoint."""
        for name, buffer in self.module.named_buffers():
            buffer.copy_(before[name])

    def _tolerate(self, losses: dict[str, float], kept: Path | None) -> None:
        self.failures += 1
        where = f"; 'selfvos replay {self.run}' tells which clips are to blame" if kept else ""
        log.warning("loss or gradient is not finite, step left out (%d in a row)%s", self.failures, where)
        if self.failures > _PATIENCE:
            raise Diverged(
                f"no finite loss in {self.failures} steps (last: {losses}); resume with a lower learning rate: "
                f"the checkpoints in {self.run / 'checkpoints'} are good"
            )
