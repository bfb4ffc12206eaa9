"""How to track, by question: how frames are seen, what is matched and remembered, how a mask is refined and shown."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from selfvos.errors import UsageError
from selfvos.ops.alignment import AlignConfig
from selfvos.ops.label_fusion import FusionConfig
from selfvos.ops.label_map import Up
from selfvos.ops.left_behind import LeaveConfig
from selfvos.ops.matching import MatchConfig
from selfvos.ops.whitening import WhitenConfig
from selfvos.ops.window_attention import AttendConfig


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """Which system follows objects."""

    name: str = "auto"
    """``memory`` (selfvos' own), ``osvos``, ``stm`` or ``rgmp``; ``auto``: the one that the weights were made for."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the system's own settings that differ from their defaults."""


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    """How large the network sees a frame, and in what precision."""

    short_side_px: int | None = 480
    """Frames are tracked at this height or width, whichever is the shorter; None: as large as they come."""
    size_px: tuple[int, int] | None = None
    """Height and width that frames are tracked at, whatever their shape; None: as `short_side_px` says."""
    long_side_multiple: int = 1
    """The longer side is rounded down to a multiple of this."""
    fit: Literal["pad", "stretch", "shrink"] = "pad"
    """Bring sides to multiples of the stride: up by repeating the border, or by stretching the frame; or down by
    shrinking it."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the visual encoder computes in; ``auto`` takes bfloat16 where a short trial shows that it is faster."""

    def __post_init__(self) -> None:
        _require("fit", self.fit, ("pad", "stretch", "shrink"))
        if self.short_side_px is not None and self.short_side_px < 16:
            raise UsageError(f"short_side_px must be at least 16, got {self.short_side_px}")
        if self.size_px is not None and min(self.size_px) < 16:
            raise UsageError(f"size_px must be at least 16 by 16, got {self.size_px[0]} by {self.size_px[1]}")
        _at_least("long_side_multiple", self.long_side_multiple, 1)


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """What of a frame is matched."""

    stage: str = "key"
    """``key``, or a stage of the backbone such as ``layer3``, or several on one grid, joined by +."""
    scale: int = 1
    """Interpolate it to so many times its rows and columns; must divide the stride."""
    smaller: tuple[float, ...] = ()
    """See the frame again at each of these shares of its size, in (0, 1): the same stages of these views, interpolated
    to the cells, are matched beside it. They know more of what surrounds a cell, the frame itself where it lies."""
    unit_length: bool = True
    """Bring it to unit length in every cell; the key has it anyway, until it is interpolated."""
    whiten: WhitenConfig | None = None
    """Whiten it, by its statistics in the first frame, and bring it to unit length; None: it stays as it is."""

    def __post_init__(self) -> None:
        _at_least("scale", self.scale, 1)
        if not all(0 < share < 1 for share in self.smaller):
            raise UsageError(f"smaller views are shares between 0 and 1, got {self.smaller}")

    @property
    def stages(self) -> tuple[str, ...]:
        """What is joined: ``key``, or stages of the backbone."""
        return tuple(self.stage.split("+"))


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Which frames are remembered and matched against."""

    last: int = 20
    """Latest frames remembered besides the permanent ones."""
    permanent: tuple[int, ...] = (0,)
    """Frames remembered for ever, by number; so are those with a given mask, unless this is empty."""
    offsets: tuple[int, ...] | None = None
    """Which of the latest frames are matched against, as frames back from the new one, and kept as long as that takes;
    None: all of them."""
    pad_start: Literal["never", "fill", "twice"] = "never"
    """Until there are enough latest frames: ``fill`` their places with copies of the oldest one that is matched, or
    count that one ``twice``."""

    def __post_init__(self) -> None:
        _at_least("last", self.last, 0)
        _at_least("permanent", min(self.permanent, default=0), 0)
        _at_least("offsets", min(self.offsets or (1,)), 1)
        _require("pad_start", self.pad_start, ("never", "fill", "twice"))
        previous = self.last > 0 if self.offsets is None else 1 in self.offsets
        if not (previous or 0 in self.permanent):
            found = f"permanent {self.permanent}, last {self.last}, offsets {self.offsets}"
            raise UsageError(
                f"remember frame 0 for ever, or the previous one, so that there is one to match; got {found}"
            )

    @property
    def recent(self) -> int:
        """Latest frames that have to be kept."""
        return max(self.last, *(self.offsets or (0,)))


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """How masks go down to feature cells, what becomes of what is carried, and how it goes up to pixels again."""

    down: Literal["area", "bilinear", "nearest", "subsample"] = "area"
    """What a cell gets of a mask: its mean, a mixture or the value at its centre, or the value of its first pixel."""
    up: Up = "bilinear"
    """What a pixel gets: a mixture of the cells around it, or the value of the cell that it lies in."""
    hard: bool = False
    """Remember the object that one pixel of each cell got, as it was shown, not the probabilities: the first pixel
    where `down` is ``subsample``, the one at the centre elsewhere."""
    min_max: Literal["never", "shown", "carried"] = "never"
    """Stretch each channel of a frame to [0, 1] before the arg max; ``carried``: remember it like that as well."""
    object_gain: float = 1.0
    """Factor on all channels but the background's, > 0."""
    scale: int = 1
    """Rows and columns of labels that a cell has in memory: more keep what is thinner than a cell, at hardly any cost.
    Must divide the stride of the cells. Points have one label a cell."""
    restore_contrast: bool = False
    """Give carried labels back the contrast that fades from frame to frame; objects that are lost stay so."""
    lost_below: float = 0.5
    """An object whose probability stays at or below this everywhere in a frame is lost there: its mask is empty."""
    align: AlignConfig | None = None
    """Labels of matched cells shift to where the pictures agree best, by less than a cell; None: they stay. Needs
    labels finer than cells (`scale`), and matches."""
    fuse: FusionConfig | None = None
    """Parts of cells listen to matched parts that look like them: lines and outlines stay sharp. None: all parts of a
    matched cell count alike. Needs `align`."""
    leave: LeaveConfig | None = None
    """What stays with the ground while its object moves on is ground, which the object uncovered; None: it stays the
    object's. Meant for whitened features: others hardly tell one thing from another."""
    reach_cells: float | None = None
    """A part of an object that touches nothing of it must appear within so many cells of where the object was in the
    frame before; an object that was lost may appear anywhere. None: parts may, too."""

    def __post_init__(self) -> None:
        _require("down", self.down, ("area", "bilinear", "nearest", "subsample"))
        _require("up", self.up, ("bilinear", "nearest"))
        _require("min_max", self.min_max, ("never", "shown", "carried"))
        if not (self.object_gain > 0 and math.isfinite(self.object_gain)):
            raise UsageError(f"object_gain must be > 0 and finite, got {self.object_gain}")
        _at_least("scale", self.scale, 1)
        if not 0 <= self.lost_below < 1:
            raise UsageError(f"lost_below must be in [0, 1), got {self.lost_below}")
        if self.fuse is not None and self.align is None:
            raise UsageError("labels are fused where they are aligned: set labels.align, or labels.fuse to null")
        if self.reach_cells is not None and not self.reach_cells >= 0:
            raise UsageError(f"reach_cells must be at least 0, got {self.reach_cells}; null lifts the restriction")


@dataclass(frozen=True, kw_only=True)
class RefineConfig:
    """How often V and D redraw a mask, and which mask later frames are matched against."""

    rounds: int = 3
    """Refinement rounds R; 0 is pure label propagation."""
    remember: Literal["decoded", "changes", "coarse"] = "decoded"
    """The refined mask; the warped one with what refining ``changes`` of it, spared the blur of going up to pixels and
    down again; or the warped one as in the released code."""

    def __post_init__(self) -> None:
        _at_least("rounds", self.rounds, 0)
        _require("remember", self.remember, ("decoded", "changes", "coarse"))


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """What is shown of a mask."""

    edge_px: int = 0
    """Outlines move to edges of the frame about so near, in tracked pixels; 0: they stay. What is remembered of soft
    labels stays as it is."""
    edge_epsilon: float = 1e-3
    """Variance of colours in [0, 1] below which a window counts as even, > 0: with less, outlines follow weaker edges,
    and what is thin or shares its colours with its surroundings wears off less."""
    sure: float | None = None
    """How sure the inside of an object is, in the mean, that ends where it falls to one half: one that is less sure, as
    where it turns, ends where it falls to less, by half of that. In (0.5, 1]; None: all end at one half."""
    lines_px: int = 0
    """Parts of objects that are narrower are lines, in tracked pixels, odd: the more of an object's outline was that of
    lines where it was drawn, the less they have to reach to be shown. 0: as much as everything else."""
    decide_at: Literal["native", "tracked"] = "native"
    """Size at which each pixel gets its object; from the tracked size, ids go to native pixels by the nearest one."""

    def __post_init__(self) -> None:
        _at_least("edge_px", self.edge_px, 0)
        if not (self.edge_epsilon > 0 and math.isfinite(self.edge_epsilon)):
            raise UsageError(f"edge_epsilon must be > 0 and finite, got {self.edge_epsilon}")
        if self.sure is not None and not 0.5 < self.sure <= 1:
            raise UsageError(f"sure must be in (0.5, 1], got {self.sure}; null lets all objects end at one half")
        if self.lines_px and (self.lines_px < 3 or self.lines_px % 2 == 0):
            raise UsageError(f"lines_px must be 0, or odd and at least 3, got {self.lines_px}")
        _require("decide_at", self.decide_at, ("native", "tracked"))

    def at_scale(self, factor: float) -> "ShowConfig":
        """Return the same for frames that are larger by a factor."""
        lines_px = max(3, 2 * round((self.lines_px * factor - 1) / 2) + 1) if self.lines_px else 0
        return replace(self, edge_px=_scaled(self.edge_px, factor), lines_px=lines_px)


@dataclass(frozen=True, kw_only=True)
class SmoothConfig:
    """What frames that come later have to say, where a whole video is tracked and not each frame as it comes.

    Frames are tracked window by window; then labels are carried to each frame of the window anew, from the frames
    before and those after it, and the first frame's mask is still the only one that was given.
    """

    window: int = 60
    """Frames that are tracked together, at least 2; what they are matched by, and their labels, are kept meanwhile."""
    frames: int = 10
    """Frames on either side of a frame that its labels come from, at least 1; the last ones of a window, so many of
    them, are tracked once more with the next window, if there is one. Less than `window`."""
    sweeps: int = 2
    """How often labels are carried anew, through the whole window, at least 1: in turn from its end and from its
    beginning, the last time from its beginning."""
    survey: float = 0.5
    """Share that frames of the first window have in the statistics that features are whitened by, in [0, 1); the rest
    is that of the first frame."""

    def __post_init__(self) -> None:
        _at_least("frames", self.frames, 1)
        _at_least("sweeps", self.sweeps, 1)
        _at_least("window", self.window, self.frames + 1)
        if not 0 <= self.survey < 1:
            raise UsageError(f"survey must be in [0, 1), got {self.survey}")


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
        _at_least("top", self.top, 1)


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """Settings of the tracker, by question; the defaults are the paper's."""

    system: SystemSpec = field(default_factory=SystemSpec)
    """What follows objects; from the rest, supervised systems take `frame`, `memory.last`,
    `labels.lost_below` and `show`."""
    frame: FrameConfig = field(default_factory=FrameConfig)
    """How large frames are seen."""
    feature: FeatureConfig = field(default_factory=FeatureConfig)
    """What of them is matched."""
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    """What they are matched with."""
    match: MatchConfig | AttendConfig = field(default_factory=MatchConfig)
    """How: by the best cells of a window (`MatchConfig`), or by a mixture of all of them (`AttendConfig`)."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    """How masks become labels of cells, and labels masks again."""
    refine: RefineConfig = field(default_factory=RefineConfig)
    """How V and D redraw masks."""
    show: ShowConfig = field(default_factory=ShowConfig)
    """What is shown of them."""
    smooth: SmoothConfig | None = None
    """What later frames have to say, where frames can be read ahead; None: nothing. With soft labels, matches and no
    rounds of V and D."""
    points: PointConfig = field(default_factory=PointConfig)
    """How points are drawn and read, where points are followed."""

    def __post_init__(self) -> None:
        if self.refine.rounds and self.feature.scale != 1:
            raise UsageError("V and D work on the encoder's own cells: set feature.scale to 1, or refine.rounds to 0")
        in_parts = isinstance(self.match, MatchConfig) and self.labels.scale > 1
        if self.labels.align is not None and not in_parts:
            raise UsageError("labels are aligned by matches, in parts of cells: set labels.align to null")
        if self.smooth is not None and (self.refine.rounds or self.labels.hard or isinstance(self.match, AttendConfig)):
            raise UsageError(
                "only soft labels that matches carry, and no V and D redraw, are smoothed: set smooth to null"
            )

    def at_size(self, short_side_px: int) -> "TrackConfig":
        """Return the same way to track at another size: what counts cells or tracked pixels grows or shrinks with it.

        These are the window of `match`, `labels.reach_cells`, `labels.fuse.around_cells`, what `labels.leave` counts in
        cells, `show.edge_px` and `show.lines_px`. A cell's parts and the Gaussian of a point stay: both are shares of a
        cell, whatever it covers.

        Args:
            short_side_px: Height or width that frames are tracked at, whichever is the shorter.

        Raises:
            UsageError: Frames are taken as large as they come, so that nothing says what sizes belong to.
        """
        frame = self.frame
        before = frame.short_side_px if frame.size_px is None else min(frame.size_px)
        if before is None:
            raise UsageError("these settings take frames as large as they come: set frame.short_side_px")
        factor = short_side_px / before
        if frame.size_px is None:
            frame = replace(frame, short_side_px=short_side_px)
        else:
            frame = replace(frame, size_px=tuple(round(side * factor) for side in frame.size_px))
        if isinstance(self.match, MatchConfig):
            match = replace(self.match, radius_cells=self.match.radius_cells * factor)
        else:
            match = replace(self.match, radius_cells=_scaled(self.match.radius_cells, factor))
        show, labels = self.show.at_scale(factor), self.labels
        if labels.reach_cells is not None:
            labels = replace(labels, reach_cells=labels.reach_cells * factor)
        if labels.fuse is not None:
            around = round(labels.fuse.around_cells * factor)
            labels = replace(labels, fuse=replace(labels.fuse, around_cells=around))
        if labels.leave is not None:
            labels = replace(labels, leave=labels.leave.at_scale(factor))
        return replace(self, frame=frame, match=match, labels=labels, show=show)


def _scaled(size: int, factor: float) -> int:
    """Return a whole number of steps on a grid that is finer by a factor; what is there stays there."""
    return max(1, round(size * factor)) if size else 0


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{name} must be at least {least}, got {value}")


def _require(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} must be one of {', '.join(known)}; got {value!r}")
