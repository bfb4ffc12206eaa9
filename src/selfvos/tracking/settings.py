"""How to track: what is matched, what is remembered, how often a mask is refined."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from selfvos.errors import UsageError
from selfvos.ops.matching import MatchConfig


@dataclass(frozen=True, kw_only=True)
class PointConfig:
    """How points become label maps, and label maps points again."""

    grid: Literal["cells", "pixels"] = "cells"
    """What points are drawn on and read from: the feature cells, or the pixels of the video at native size."""
    sigma: float = 0.5
    """Spread of the Gaussian that stands for a point, in steps of that grid, > 0."""
    top: int = 3
    """Strongest places of a map whose weighted mean is the point, at least 1."""

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise UsageError(f"sigma must be > 0 and finite, got {self.sigma}")
        if self.top < 1:
            raise UsageError(f"top must be at least 1, got {self.top}")


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """Which system follows objects."""

    name: str = "auto"
    """``memory`` (selfvos' own), ``osvos``, ``stm`` or ``rgmp``; ``auto``: the one that the weights were made for."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the system's own settings that differ from their defaults."""


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """Settings of the tracker; the defaults are the paper's."""

    system: SystemSpec = field(default_factory=SystemSpec)
    """What follows objects; from the rest, supervised systems take sizes, `last`, `precision` and `lost_below`."""
    rounds: int = 3
    """Refinement rounds R; 0 is pure label propagation."""
    last: int = 20
    """Latest frames remembered besides the first and the corrected ones."""
    feature: str = "key"
    """What is matched: ``key``, or a stage of the backbone such as ``layer3``."""
    match: MatchConfig = field(default_factory=MatchConfig)
    """Window, top-k and temperature of matching."""
    short_side_px: int = 480
    """Frames are tracked at this height or width, whichever is the shorter; masks come back at native size."""
    size_px: tuple[int, int] | None = None
    """Height and width that frames are tracked at, whatever their shape; None: as `short_side_px` says."""
    decide_at: Literal["native", "tracked"] = "native"
    """Size at which each pixel gets its object; from the tracked size, ids go to native pixels by the nearest one."""
    remember: Literal["decoded", "coarse"] = "decoded"
    """Which mask later frames are matched against: the refined one, or the warped one as in the released code."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the visual encoder computes in; ``auto`` takes bfloat16 where a short trial shows that it is faster."""
    points: PointConfig = field(default_factory=PointConfig)
    """How points are drawn and read, where points are followed."""
    lost_below: float = 0.5
    """An object whose probability stays at or below this everywhere in a frame is lost there: its mask is empty."""

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.last < 0:
            raise UsageError(f"rounds and last must be at least 0, got {self.rounds} and {self.last}")
        if self.short_side_px < 16:
            raise UsageError(f"short_side_px must be at least 16, got {self.short_side_px}")
        if self.size_px is not None and min(self.size_px) < 16:
            raise UsageError(f"size_px must be at least 16 by 16, got {self.size_px[0]} by {self.size_px[1]}")
        if not 0 <= self.lost_below < 1:
            raise UsageError(f"lost_below must be in [0, 1), got {self.lost_below}")
