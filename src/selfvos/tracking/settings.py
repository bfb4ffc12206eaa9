"""How to track: what is matched, what is remembered, how often a mask is refined."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from selfvos.errors import UsageError
from selfvos.ops.label_map import Up
from selfvos.ops.matching import MatchConfig
from selfvos.ops.whitening import WhitenConfig
from selfvos.ops.window_attention import AttendConfig


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
class LabelConfig:
    """How masks go down to feature cells, what becomes of what is carried, and how it goes up to pixels again."""

    down: Literal["area", "bilinear", "nearest", "subsample"] = "area"
    """What a cell gets of a mask: its mean, a mixture or the value at its centre, or the value of its first pixel."""
    up: Up = "bilinear"
    """What a pixel gets: a mixture of the cells around it, or the value of the cell that it lies in."""
    hard: bool = False
    """Remember the object that each pixel got, not the probabilities."""
    min_max: Literal["never", "shown", "carried"] = "never"
    """Stretch each channel of a frame to [0, 1] before the arg max; ``carried``: remember it like that as well."""
    object_gain: float = 1.0
    """Factor on all channels but the background's, > 0."""

    def __post_init__(self) -> None:
        _require("down", self.down, ("area", "bilinear", "nearest", "subsample"))
        _require("up", self.up, ("bilinear", "nearest"))
        _require("min_max", self.min_max, ("never", "shown", "carried"))
        if self.hard and self.down not in ("nearest", "subsample"):
            raise UsageError(f"hard labels go down by 'nearest' or 'subsample', got {self.down!r}")
        if not (self.object_gain > 0 and math.isfinite(self.object_gain)):
            raise UsageError(f"object_gain must be > 0 and finite, got {self.object_gain}")


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
    """Latest frames remembered besides the pinned ones."""
    pinned: tuple[int, ...] = (0,)
    """Frames remembered for ever, by number; so are those with a given mask, unless this is empty."""
    offsets: tuple[int, ...] | None = None
    """Which of the latest frames are matched against, as frames back from the new one; None: all of them."""
    pad_start: bool = False
    """Until there are enough latest frames, count the first one several times in their place."""
    feature: str = "key"
    """What is matched: ``key``, or a stage of the backbone such as ``layer3``, or several on one grid, joined by +."""
    feature_scale: int = 1
    """Interpolate a stage to so many times its rows and columns; must divide the stride."""
    unit_length: bool = True
    """Bring a stage to unit length in every cell; the key always is."""
    whiten: WhitenConfig | None = None
    """Whiten what is matched, by its statistics in the first frame; None: it stays as it is."""
    match: MatchConfig = field(default_factory=MatchConfig)
    """Window, top-k and temperature of matching."""
    attend: AttendConfig | None = None
    """Mix all cells of a window instead of the best matches; None: as `match` says."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    """How masks become labels of cells, and labels masks again."""
    label_scale: int = 1
    """Rows and columns of labels that a cell has in memory: more keep what is thinner than a cell, at hardly any cost.
    Must divide the stride of the cells. Points have one label a cell."""
    short_side_px: int | None = 480
    """Frames are tracked at this height or width, whichever is the shorter; None: as large as they come."""
    long_side_multiple: int = 1
    """The longer side is rounded down to a multiple of this."""
    fit: Literal["pad", "stretch"] = "pad"
    """Bring sides up to multiples of the stride by repeating the border, or by stretching the frame."""
    size_px: tuple[int, int] | None = None
    """Height and width that frames are tracked at, whatever their shape; None: as `short_side_px` says."""
    decide_at: Literal["native", "tracked"] = "native"
    """Size at which each pixel gets its object; from the tracked size, ids go to native pixels by the nearest one."""
    stretch: bool = False
    """Give carried labels back the contrast that fades from frame to frame; objects that are lost stay so."""
    snap_px: int = 0
    """Outlines that are shown move to edges of the frame about so near, in tracked pixels; 0: they stay."""
    remember: Literal["decoded", "changes", "coarse"] = "decoded"
    """Which mask later frames are matched against: the refined one; the warped one with what refining ``changes`` of
    it, spared the blur of going up to pixels and down again; or the warped one as in the released code."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the visual encoder computes in; ``auto`` takes bfloat16 where a short trial shows that it is faster."""
    points: PointConfig = field(default_factory=PointConfig)
    """How points are drawn and read, where points are followed."""
    lost_below: float = 0.5
    """An object whose probability stays at or below this everywhere in a frame is lost there: its mask is empty."""

    def __post_init__(self) -> None:
        if self.snap_px < 0:
            raise UsageError(f"snap_px must be at least 0, got {self.snap_px}")
        if self.rounds < 0 or self.last < 0:
            raise UsageError(f"rounds and last must be at least 0, got {self.rounds} and {self.last}")
        if self.rounds and (self.attend or self.labels != LabelConfig() or self.feature_scale != 1):
            raise UsageError(f"attend, labels and feature_scale go with rounds 0, got rounds {self.rounds}")
        if self.whiten and not self.unit_length:
            raise UsageError("whiten brings what is matched to unit length: set unit_length to true")
        self._check_memory()
        self._check_size()
        if not 0 <= self.lost_below < 1:
            raise UsageError(f"lost_below must be in [0, 1), got {self.lost_below}")

    def _check_memory(self) -> None:
        if self.offsets is not None and not all(1 <= offset <= self.last for offset in self.offsets):
            raise UsageError(f"offsets must be 1 to last ({self.last}), got {self.offsets}")
        previous = self.last > 0 if self.offsets is None else 1 in self.offsets
        if min(self.pinned, default=0) < 0 or not (previous or 0 in self.pinned):
            found = f"pinned {self.pinned}, last {self.last}, offsets {self.offsets}"
            raise UsageError(f"pin frame 0 or keep the previous one, so that there is one to match; got {found}")
        if self.pad_start and (0 not in self.pinned or self.attend or self.offsets is not None):
            raise UsageError("pad_start goes with frame 0 pinned, without attend and offsets")
        if self.pad_start and self.match.per_frame and self.match.radius_cells < math.inf:
            raise UsageError("pad_start with match.per_frame goes with an infinite match.radius_cells")

    def _check_size(self) -> None:
        _require("remember", self.remember, ("decoded", "changes", "coarse"))
        _require("fit", self.fit, ("pad", "stretch"))
        if self.short_side_px is not None and self.short_side_px < 16:
            raise UsageError(f"short_side_px must be at least 16, got {self.short_side_px}")
        if self.size_px is not None and min(self.size_px) < 16:
            raise UsageError(f"size_px must be at least 16 by 16, got {self.size_px[0]} by {self.size_px[1]}")
        for name in ("long_side_multiple", "feature_scale", "label_scale"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.stretch and (self.labels.hard or self.labels.min_max == "carried" or not self.lost_below):
            raise UsageError("stretch goes with soft labels, min_max other than 'carried', and lost_below above 0")
        if self.labels.hard and self.snap_px:
            raise UsageError("hard labels remember what is shown: set snap_px to 0")
        if self.labels.hard and self.decide_at != "native":
            raise UsageError("hard labels are decided at native size: set decide_at to 'native'")


def _require(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} must be one of {', '.join(known)}; got {value!r}")
