"""Random numbers that follow from seed, phase, step, purpose and place in the batch.

They are the same again after an interruption, and however many processes share the batch.
"""

from dataclasses import dataclass
from typing import Literal

import torch

PHASES = ("warmup", "joint")
"""The phases of a run, in order."""

Purpose = Literal["clip", "objectives", "paste"]
_PURPOSES: tuple[Purpose, ...] = ("clip", "objectives", "paste")


@dataclass(frozen=True)
class Randomness:
    """Where everything random in one phase comes from."""

    run_seed: int
    phase: str

    @property
    def seed(self) -> int:
        """Seed of the phase."""
        return self.run_seed * len(PHASES) + PHASES.index(self.phase)

    def generator(self, step: int, purpose: Purpose, place: int = 0) -> torch.Generator:
        """Return a generator of its own for every phase, step, purpose and clip of the batch.

        Args:
            step: Number of the step in its phase, from 0.
            purpose: What is drawn.
            place: Of the clip in the batch of all processes; 0 for what concerns the whole batch.
        """
        seed = 0
        for part in (self.seed, step, _PURPOSES.index(purpose), place):
            seed = (seed * 1_000_003 + part + 1) % (2**63 - 1)
        return torch.Generator().manual_seed(seed)
