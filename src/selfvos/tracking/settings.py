"""How to track: what is matched, what is remembered, how often a mask is refined."""

from dataclasses import dataclass, field
from typing import Literal

from selfvos.errors import UsageError
from selfvos.ops.matching import MatchConfig


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """Settings of the tracker; the defaults are the paper's."""

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
    remember: Literal["decoded", "coarse"] = "decoded"
    """Which mask later frames are matched against: the refined one, or the warped one as in the released code."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the visual encoder computes in; ``auto`` takes bfloat16 where a short trial shows that it is faster."""
    lost_below: float = 0.5
    """An object whose probability stays at or below this everywhere in a frame is lost there: its mask is empty."""

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.last < 0:
            raise UsageError(f"rounds and last must be at least 0, got {self.rounds} and {self.last}")
        if self.short_side_px < 16:
            raise UsageError(f"short_side_px must be at least 16, got {self.short_side_px}")
        if not 0 <= self.lost_below < 1:
            raise UsageError(f"lost_below must be in [0, 1), got {self.lost_below}")
