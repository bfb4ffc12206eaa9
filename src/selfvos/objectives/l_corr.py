"""Dense correspondence learning: neighbouring and distant frames together."""

from dataclasses import dataclass, field

import torch

from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.l_long import LLong, LLongConfig
from selfvos.objectives.l_short import LShort, LShortConfig
from selfvos.types import LossTerms


@dataclass(frozen=True, kw_only=True)
class LCorrConfig:
    """Settings of both terms and what each counts."""

    short: LShortConfig = field(default_factory=LShortConfig)
    """How neighbouring frames are compared."""
    long: LLongConfig = field(default_factory=LLongConfig)
    """How distant frames are compared."""
    short_weight: float = 1.0
    """Weight of the comparison of neighbouring frames."""
    long_weight: float = 1.0
    """Weight of the comparison of distant frames."""


@OBJECTIVES.register("l_corr")
class LCorr(Objective):
    """Adds up `l_short` and `l_long`, which share the features of plain frames.

    Source:
        Li et al. 2023, arXiv:2303.10100, table 4a, where the terms are summed without weights.
    """

    Config = LCorrConfig

    def __init__(self, config: LCorrConfig) -> None:
        super().__init__(config)
        self.short = LShort(config.short)
        self.long = LLong(config.long)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `short` and `long`, before their weights.

        Raises:
            UsageError: The clip has fewer than two frames, or fewer feature cells than the grid.
        """
        short = self.short(clip, generator)
        long = self.long(clip, generator)
        total = self.config.short_weight * short.total + self.config.long_weight * long.total
        return LossTerms(total, short.parts | long.parts)
