"""What weights say of themselves."""

from dataclasses import dataclass, field
from typing import Any, Literal

NOTES_VERSION = 3
"""Version of what stands in a weights file: 2 had no seal; 1 is read by `old_notes`."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One way to track with some weights, and what it was measured to give."""

    track: dict[str, Any] = field(default_factory=dict)
    """Fields of the tracker's settings that differ from their defaults."""
    accuracy: float | None = None
    """Mean of J&F in percent; None where nobody has measured it."""
    seconds_per_frame: float | None = None
    """Median; None where nobody has measured it."""
    measured: str = ""
    """On which videos, by which machine."""


@dataclass(frozen=True, kw_only=True)
class WeightsNotes:
    """What is kept with weights: how they were made, and how to track with them."""

    recipe: dict[str, Any] = field(default_factory=dict)
    """Settings of the training run, as they were called then."""
    steps: int | None = None
    """Updates in all; None where nobody knows."""
    track: dict[str, Any] = field(default_factory=dict)
    """How to track: fields of the tracker's settings that differ from their defaults."""
    quality: dict[str, Quality] = field(default_factory=dict)
    """Other ways to track, from quick to good: ``fast``, ``balanced`` and ``best``."""
    supervision: Literal["none", "true masks"] = "none"
    """Whether masks that people drew taught the network."""
    format: str = ""
    """Published format that the weights were converted from."""
    untrained: tuple[str, ...] = ()
    """Parts of the network that came with no weights."""
    pieces: tuple[str, ...] = ()
    """Which runs the weights were put together from, in words."""
