"""Label propagation: memory of past frames, matching, and labels carried along the matches."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops import masks as mask_ops
from selfvos.ops.alignment import best_shifts, shifted_readout, shrink
from selfvos.ops.contact import drop_apart, without
from selfvos.ops.evidence import evidence
from selfvos.ops.label_fusion import Matched, fused
from selfvos.ops.label_map import LabelMap
from selfvos.ops.labels import fold, stretch, unfold
from selfvos.ops.sparse_labels import SparseLabels
from selfvos.tracking.encoding import EncodedFrame, FrameEncoding
from selfvos.tracking.feature import Learned, MatchedFeature
from selfvos.tracking.labels import empty_memory, harden, settle, telling_cells, with_changes
from selfvos.tracking.leaving import left
from selfvos.tracking.memory import Entry, Memory, Remembered
from selfvos.tracking.propagation import Once, Propagation, WatchMatches, propagation, unwatched_matches
from selfvos.tracking.propagator import MEMORY, DenseMasks, GivenMasks, SoftMasks
from selfvos.tracking.refinement import WatchRounds, embed, refine, unwatched
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.smoothing import look_ahead, smoothed
from selfvos.tracking.view import Foreseen, View
from selfvos.types import Watch

Labels = Float[Tensor, "1 o1 h w"] | SparseLabels
"""Labels of one frame: whole maps, or what cells show."""


@dataclass(frozen=True)
class _State:
    memory: Remembered
    learned: Learned
    view: View
    masks: SoftMasks
    given: bool
    partial: bool
    leaving: bool


class LabelPropagation:
    """Remembers frames with the labels of their cells, and carries labels to the next frame along the best matches.

    Source:
        Mask-VOS, inference without refinement: memory of the first and the last N frames, one restricted top-k
        affinity shared by all objects. Departure: the coarse labels of frames before the memory is full are not padded
        with copies of the first frame, unless `MemoryConfig.pad_start` says so; see also `Framing`. Label propagation
        of other methods is the same by their settings: see `presets`.
    """

    def __init__(self, encoding: FrameEncoding, config: TrackConfig) -> None:
        """Make a propagator.

        Raises:
            UsageError: The network has no such feature, or cells cannot be cut into such parts.
        """
        self.config = config
        self.network = encoding.network
        self.precision = encoding.precision
        self.feature = MatchedFeature(self.network, config)
        self.label_stride = self.feature.stride // config.labels.scale
        self._shares = encoding.cache is not None
        self.memory = empty_memory(config)
        self.watch_matches: WatchMatches = unwatched_matches
        """Called for every tracked frame with the places of remembered frames in the walk, and its matches in them."""
        self._view: View | None = None
        self._masks: SoftMasks | None = None
        self._given = False
        self._partial = False
        """Whether memory has cells of which nobody knows what they show."""
        self._leaving = False
        """Whether objects left something behind in the frame before."""
        self._first: EncodedFrame | None = None
        """The first frame, until it is settled how frames are compared."""

    @property
    def supervision(self) -> str:
        """See `Propagator.supervision`: nothing, unless the weights learned from true masks."""
        return "supervised: trained on true masks" if self.network.notes.supervision == "true masks" else ""

    @property
    def latest(self) -> SoftMasks:
        """Masks of the latest frame, as they will be remembered."""
        assert self._masks is not None, "no frame has been given masks"
        return self._masks

    @property
    def is_watched(self) -> bool:
        """See `Foresees.is_watched`."""
        return self.watch_matches is not unwatched_matches

    def start(self, frame: EncodedFrame) -> None:
        """See `Propagator.start`."""
        self.memory, self._masks, self._partial, self._leaving = empty_memory(self.config), None, False, False
        self.feature.begin(frame)
        self._view = self._look(frame)
        self._first = frame if self.config.smooth else None

    def prepare(self, frame: EncodedFrame) -> None:
        """See `PreparesFrames.prepare`."""
        frame.prepared = self._look(frame)
        frame.forget_features()  # one more frame's would be what takes most memory of all

    def follow(self, frame: EncodedFrame) -> SoftMasks:
        """See `Propagator.follow`."""
        self._remember()
        self._first = None
        if isinstance(frame.prepared, Foreseen):
            self._view, self._masks, self._given = frame.prepared.view, frame.prepared.masks, False
            return self._masks
        view = frame.prepared if isinstance(frame.prepared, View) else self._look(frame)
        found = propagation(view.key, self.memory, self.config, self._sharing(frame))
        self.watch_matches(self.memory.walked, found.matches)
        self._view, self._masks, self._given = view, self._refined(view, self._carried(view, found), found), False
        return self._masks

    def survey(self, later: Iterable[EncodedFrame]) -> None:
        """See `Foresees.survey`."""
        first, smooth = self._first, self.config.smooth
        if first is None or smooth is None or len(self.memory) or not (smooth.survey and (frames := list(later))):
            return
        self.feature.survey(first, frames, smooth.survey)
        self._view = self._look(first)

    def foresee(self, frames: Iterable[EncodedFrame], count: int, watch: Watch) -> list[Foreseen]:
        """See `Foresees.foresee`."""
        state, smooth = self.snapshot(), self.config.smooth
        assert smooth is not None, "asked for what comes later without settings for it"
        window, before = list[Foreseen](), None
        try:
            for done, frame in enumerate(frames):
                look_ahead(watch, done, count, smooth)
                masks = self.follow(frame)
                assert self._view is not None
                window.append(Foreseen(self._view, masks))
                before = before or self.memory.snapshot()
            return [] if before is None else smoothed(window, state.masks, before, self, smooth, watch)
        finally:
            self.restore(state)

    def again(self, view: View, remembered: Remembered, beside: SoftMasks) -> SoftMasks:
        """Carry labels to a frame from others that are remembered, whatever is remembered of the walk.

        Args:
            view: What is kept of the frame.
            remembered: The other frames.
            beside: Masks of the frame before it, or after it: parts of objects appear near those.
        """
        kept = self.memory, self._masks, self._leaving
        self.memory, self._masks, self._leaving = _memory_of(remembered, self.config), beside, True
        try:
            return self._carried(view, propagation(view.key, self.memory, self.config))
        finally:
            self.memory, self._masks, self._leaving = kept

    def entry(self, seen: Foreseen) -> Entry:
        """Return what memory holds of a frame."""
        return self._entry(seen.view, seen.masks, self._to_remember(seen.masks))

    def learn(self, given: GivenMasks) -> SoftMasks:
        """See `Propagator.learn`."""
        soft = self._labels(given)
        known = 0 if self._masks is None else self._masks.channels
        self._make_room(soft.channels - known)
        self._masks, self._given = self._kept(soft), True
        return soft

    def decided(self, found: LabelMap) -> None:
        """See `Propagator.decided`: hard labels remember it."""
        config, view, masks = self.config.labels, self._view, self.latest
        if config.hard and view is not None:
            cells = harden(found.channel, masks.channels, view.framing, self.label_stride, config)
            self._masks = DenseMasks(cells.to(masks.cells.device), self.label_stride, masks.pixels)

    def forget_recent(self) -> None:
        """See `Propagator.forget_recent`."""
        self.memory.forget_recent()

    def remember(self, frame: EncodedFrame, given: GivenMasks) -> None:
        """See `Propagator.remember`."""
        soft, latest = self._labels(given), self.latest
        new = soft.channels - latest.channels
        self._make_room(new)
        self._masks = self._with_room(latest, new)
        labels = soft.cells if given.complete else _without_empty(soft.cells)
        self._partial = self._partial or not given.complete
        self.memory.add(self._entry(self._look(frame), soft, labels))

    def snapshot(self) -> _State:
        """See `Propagator.snapshot`."""
        assert self._view is not None, "no video has begun"
        memory, learned = self.memory.snapshot(), self.feature.learned
        return _State(memory, learned, self._view, self.latest, self._given, self._partial, self._leaving)

    def restore(self, state: _State) -> None:
        """See `Propagator.restore`."""
        self.memory = empty_memory(self.config)
        self.memory.restore(state.memory)
        self.feature.learned = state.learned
        self._view, self._masks, self._given = state.view, state.masks, state.given
        self._partial, self._leaving = state.partial, state.leaving

    def _look(self, frame: EncodedFrame) -> View:
        view = View(self.feature.key(frame), frame.framing, frame.number)
        aligned = self.config.labels.align is not None
        return replace(view, picture=shrink(frame.image, self.label_stride)) if aligned else view

    def _carried(self, view: View, found: Propagation) -> SoftMasks:
        """Return what matches carry to the frame, as it is shown without V and D."""
        maps = unfold(self._mixed(view, found), (view.key.shape[0], view.key.shape[1]), self.config.labels.scale)
        if self._partial:
            maps = _of_known(maps)
        if self.config.labels.restore_contrast:
            maps = stretch(maps, self.config.labels.lost_below)
        labels = self._together(settle(maps, self.config.labels))
        gone = self._left(view, lambda: F.avg_pool2d(labels[1:], self.config.labels.scale))
        return DenseMasks((labels if gone is None else without(labels, gone))[None], self.label_stride)

    def _mixed(self, view: View, found: Propagation) -> Float[Tensor, "m l"]:
        config, memory, picture, matches = self.config.labels, self.memory, view.picture, found.matches
        if config.align is None or picture is None or matches is None:
            return found.carry(memory.labels)
        grid = view.key.shape[0] * view.key.shape[1]
        pictures, labels = found.as_matched(memory.pictures, 1), found.as_matched(memory.labels, grid)
        shifts = best_shifts(picture, pictures, labels, matches, config.scale, config.align)
        mixed = shifted_readout(labels, matches, shifts, (picture.shape[0], picture.shape[1]), config.scale)
        if config.fuse is None:
            return mixed
        return fused(mixed, labels, Matched(picture, pictures, matches, shifts, config.scale), config.fuse)

    def _together(self, labels: Float[Tensor, "o1 h w"]) -> Float[Tensor, "o1 h w"]:
        """Return labels without parts of objects that appear apart from them."""
        reach, scale = self.config.labels.reach_cells, self.config.labels.scale
        if reach is None:
            return labels
        now, before = (F.avg_pool2d(maps[1:], scale) for maps in (labels, self.latest.cells[0]))
        apart = drop_apart(now, before, reach)
        return without(labels, apart) if apart.any() else labels

    def _left(self, view: View, objects: Callable[[], Float[Tensor, "o h w"]]) -> Bool[Tensor, "o h w"] | None:
        """Return the cells that objects left behind; it is looked for them now and then, and where some have been."""
        config = self.config.labels.leave
        if config is None or not (self._leaving or self.memory.came % config.every == 0):
            return None
        gone = left(view.key, objects(), self.memory, config)
        self._leaving = gone is not None
        return gone

    def _refined(self, view: View, cells: SoftMasks, found: Propagation) -> SoftMasks:  # noqa: ARG002
        return cells

    def _kept(self, given: DenseMasks) -> SoftMasks:
        """Return what has to be kept of given masks."""
        return replace(given, pixels=None)

    def _with_room(self, masks: SoftMasks, objects: int) -> SoftMasks:
        """Return masks with so many more objects, which they do not show."""
        pixels = None if masks.pixels is None else _with_objects(masks.pixels, objects)
        return DenseMasks(_with_objects(masks.cells, objects), self.label_stride, pixels)

    def _entry(self, view: View, masks: SoftMasks, labels: Labels) -> Entry:  # noqa: ARG002
        telling = None
        # Whoever shares matches, or looks at them, has other labels, or wants them all.
        if not (self._shares or self.is_watched):
            telling = telling_cells(self._background(labels, view), self.config.labels.scale)
        return Entry(view.key, self._folded(labels), None, view.number, view.picture, telling)

    def _folded(self, labels: Labels) -> Float[Tensor, "m l"] | SparseLabels:
        """Return labels as memory has them."""
        assert isinstance(labels, Tensor), "labels are whole maps"
        return fold(labels, self.config.labels.scale)

    def _background(self, labels: Labels, view: View) -> Float[Tensor, "1 1 h w"]:  # noqa: ARG002
        assert isinstance(labels, Tensor), "labels are whole maps"
        return labels[:, :1]

    def _labels(self, given: GivenMasks) -> DenseMasks:
        cells = mask_ops.to_cells(given.pixels, self.label_stride) if given.cells is None else given.cells
        return DenseMasks(cells, self.label_stride, given.pixels)

    def _make_room(self, objects: int) -> None:
        self.memory.add_objects(objects, parts=self.config.labels.scale**2)

    def _remember(self) -> None:
        view, masks = self._view, self.latest
        assert view is not None
        self.memory.keep(self._entry(view, masks, self._to_remember(masks)), given=self._given)

    def _to_remember(self, masks: SoftMasks) -> Labels:
        labels = masks.cells
        if masks.pixels is not None and not (self._given or self.config.labels.hard):
            if self.config.refine.remember == "changes":
                labels = with_changes(labels, masks.pixels, self.label_stride)
            elif self.config.refine.remember == "decoded":
                labels = mask_ops.to_cells(masks.pixels, self.label_stride)
        return labels

    def _sharing(self, frame: EncodedFrame) -> Once:
        compared = self.config.feature, self.config.match, self.config.memory
        known = compared, self.feature.learned.frame, self.memory.content
        return lambda find: frame.once(known, find)


class MaskPropagation(LabelPropagation):
    """Label propagation whose masks V and D redraw, R times in every frame.

    Source:
        Mask-VOS, inference: warped labels as coarse masks, R rounds of V and D.
    """

    def __init__(self, encoding: FrameEncoding, config: TrackConfig) -> None:
        """Make a propagator.

        Raises:
            UsageError: These weights have no V and D that refine masks here; see also `LabelPropagation`.
        """
        path = encoding.network.mask_path
        if path is None or path.system != MEMORY:
            name = encoding.network.config.mask_path
            raise UsageError(
                f"these weights have no mask path (V and D) that refines masks but {name!r}: "
                "set refine.rounds to 0 for label propagation"
            )
        super().__init__(encoding, config)
        self.watch_rounds: WatchRounds = unwatched
        """Called with the coarse masks of every tracked frame as round 0, then with those of each round after it."""

    def _look(self, frame: EncodedFrame) -> View:
        return replace(super()._look(frame), context=self.network.prepare_masks(frame.image, frame.features))

    def _refined(self, view: View, cells: SoftMasks, found: Propagation) -> SoftMasks:
        start, grid = cells.in_pixels(), (view.key.shape[0], view.key.shape[1])
        assert view.context is not None
        context = view.context
        if found.matches is not None:
            context = context.with_evidence(evidence(found.matches, grid)[None])
        self.watch_rounds(0, start)

        def values(objects: range) -> Tensor:
            read = torch.stack([found.carry(self.memory.values(o)) for o in objects]).float()
            return read.transpose(1, 2).unflatten(2, grid)[None]  # channels stay last in memory

        rounds = self.config.refine.rounds
        pixels = refine(self.network, context, values, start, rounds, watch=self.watch_rounds)
        return DenseMasks(cells.cells, self.label_stride, pixels)

    def _kept(self, given: DenseMasks) -> SoftMasks:
        return given

    def _entry(self, view: View, masks: SoftMasks, labels: Labels) -> Entry:
        assert view.context is not None
        # What takes most of the memory of an object has half precision; a mask hardly changes by it.
        values = embed(self.network, view.context, masks.in_pixels()).half()
        return replace(super()._entry(view, masks, labels), values=values)


def _memory_of(remembered: Remembered, config: TrackConfig) -> Memory:
    """Return a memory that lends all that is remembered."""
    recent = len(remembered.entries) - remembered.permanent
    memory = Memory(recent, permanent=config.memory.permanent, leading=config.feature.whiten is not None)
    memory.restore(remembered)
    return memory


def _without_empty(cells: Float[Tensor, "1 o1 h w"]) -> Float[Tensor, "1 o1 h w"]:
    """Return labels in which cells that show no object have none at all, not that of the background."""
    return cells * (cells[:, 1:].sum(dim=1, keepdim=True) > 0)


def _of_known(maps: Float[Tensor, "o1 h w"]) -> Float[Tensor, "o1 h w"]:
    """Return labels as shares of what was found with a label; background where none was."""
    known = maps.sum(dim=0, keepdim=True)
    shares = maps / known.clamp_min(torch.finfo(maps.dtype).tiny)
    return torch.cat([torch.where(known[:1] > 0, shares[:1], 1.0), shares[1:]])


def _with_objects(maps: Float[Tensor, "1 o1 h w"], count: int) -> Float[Tensor, "1 p1 h w"]:
    """Return maps with so many more that are empty."""
    return F.pad(maps, (0, 0, 0, 0, 0, count)) if count else maps
