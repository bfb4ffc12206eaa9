"""Random numbers that follow from seed, phase, step, purpose and process: the same again after an interruption."""

from dataclasses import dataclass
from typing import Literal

import torch

PHASES = ("warmup", "joint")
"""The phases of a run, in order."""

Purpose = Literal["clip", "objectives"]
_PURPOSES: tuple[Purpose, ...] = ("clip", "objectives")


@dataclass(frozen=True)
class Randomness:
    """Where everything random in one phase comes from."""

    run_seed: int
    phase: str
    rank: int
    """Number of this process."""

    @property
    def seed(self) -> int:
        """Seed of the phase, the same in all processes."""
        return self.run_seed * len(PHASES) + PHASES.index(self.phase)

    def generator(self, step: int, purpose: Purpose) -> torch.Generator:
        """Return a generator of its own for every phase, step, purpose and process."""
        seed = 0
        for part in (self.seed, step, _PURPOSES.index(purpose), self.rank):
            seed = (seed * 1_000_003 + part + 1) % (2**63 - 1)
        return torch.Generator().manual_seed(seed)
