"""Frame in, mask out."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.ops import masks as mask_ops
from selfvos.ops.guided_filter import guided_filter
from selfvos.ops.label_map import LabelMap
from selfvos.tracking.eye import Eye
from selfvos.tracking.labels import empty_memory, fold, harden, settle, stretch, unfold, with_changes
from selfvos.tracking.memory import Entry
from selfvos.tracking.object_table import Ids, ObjectTable
from selfvos.tracking.propagation import propagation
from selfvos.tracking.refinement import WatchRounds, embed, refine
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import MEMORY, SYSTEMS, recommended, system_name
from selfvos.types import FrameFeatures, MaskContext, ObjectState, nobody


@dataclass(frozen=True)
class _Seen:
    """The latest frame: kept until the next one comes, so that its mask can still be corrected."""

    key: Float[Tensor, "h w c"]
    context: MaskContext | None
    coarse: Float[Tensor, "1 o1 h2 w2"]
    """Labels of cells, or of their parts."""
    fine: Float[Tensor, "1 o1 y x"] | None
    """Drawn or decoded masks of the padded frame; None where the coarse ones are all there is."""
    pinned: bool
    shown: Float[Tensor, "1 o1 y x"] | None = None
    """What objects are read from, where it is not what is remembered."""


@SYSTEMS.register(MEMORY, about="memory of past frames, matching, and rounds of V and D: selfvos' own")
class Tracker:
    """Follows any number of objects through a video of any length, one frame at a time.

    ``start`` with a frame and its mask, ``step`` through the frames that follow, ``correct`` the latest mask where
    it is wrong: a corrected frame is remembered for ever.

    Source:
        Mask-VOS, inference: memory of the first and the last N frames, one restricted top-k affinity shared by
        all objects, warped labels as coarse masks, R rounds of V and D. Departures: the coarse labels of frames
        before the memory is full are not padded with copies of the first frame; see also `Framing`.
        Label propagation of other methods is the same without V and D, by their settings: see `presets`.
    """

    def __init__(self, model: Segmenter, config: TrackConfig | None = None, beside: "Tracker | None" = None) -> None:
        """Make a tracker.

        Args:
            model: Network in evaluation mode.
            config: Settings; by default those that the weights recommend, or else the paper's.
            beside: A tracker of the same network that is given the same frames, in step with this one: each is
                encoded once for both, and matched once where both compare it with the same frames in the same way.

        Raises:
            UsageError: Refinement is asked of weights without a mask path, the feature does not exist, settings or
                weights ask for another system, or the other tracker sees frames at another size or precision.
        """
        self.config = config or recommended(model)
        if self.config.refine.rounds and model.mask_path is None:
            raise UsageError("these weights have no mask path (V and D): set refine.rounds to 0 for label propagation")
        if (system := system_name(model, self.config)) != MEMORY:
            raise UsageError(f"these settings or weights ask for {system!r}: call selfvos.make_tracker, not Tracker")
        if self.config.refine.rounds and model.mask_path and model.mask_path.system != MEMORY:
            raise UsageError(f"mask path {model.config.mask_path!r} refines nothing here: set refine.rounds to 0")
        self._eye = Eye(model, self.config, None if beside is None else beside._eye)
        self._model = self._eye.model
        self.precision = self._eye.precision
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""
        self.watch_rounds: WatchRounds = nobody
        """Called with the coarse masks of every tracked frame as round 0, then with those of each round after it."""
        self._table: ObjectTable | None = None
        self._memory = empty_memory(self.config)
        self._latest: _Seen | None = None

    @property
    def supervision(self) -> str:
        """What sets results apart wherever they are shown: nothing, unless the weights learned from true masks."""
        return "supervised: trained on true masks" if self._model.notes.get("recipe", {}).get("true_masks") else ""

    @property
    def spared_s(self) -> float:
        """Seconds of matching that a tracker side by side with this one has spared it in the latest frame."""
        return self._eye.spared_s

    @property
    def objects(self) -> tuple[ObjectState, ...]:
        """State of every object in the latest frame, in the order in which they were given."""
        return self._table.states if self._table else ()

    @torch.inference_mode()
    def start(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids) -> Ids:
        """Begin a video: forget everything, learn the objects of its first mask.

        Args:
            frame: RGB.
            mask: Object ids, 0 for background, at the frame's size.

        Returns:
            The mask, in the type that `step` returns.

        Raises:
            MaskMismatch: The mask has another size than the frame, or no object.
        """
        self._table = ObjectTable(self._eye.fit(frame), self.config, mask)
        self._memory, self._latest = empty_memory(self.config), None
        image, features = self._eye.look(frame, self._table.framing)
        self._eye.begin(features)
        self._accept(self._given(image, features, mask))
        return self._table.as_ids(mask)

    @torch.inference_mode()
    def step(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids | None = None) -> Ids:
        """Follow all objects into the next frame.

        Args:
            frame: RGB, as large as the first.
            mask: Objects that appear in this frame (or are drawn anew): their pixels are taken as given,
                everything else is tracked. Such a frame is remembered for ever.

        Returns:
            Object ids, 0 for background: uint8, or uint16 when an id is above 255.

        Raises:
            UsageError: `start` has not been called.
            MaskMismatch: Frame or mask have another size than the first frame.
        """
        table = self._started()
        table.check_frame(frame)
        if mask is not None:
            table.check(mask)
        self._remember()
        seen = self._follow(*self._eye.look(frame, table.framing))
        if mask is not None and mask.any():
            seen = self._insert(seen, mask)
        return table.read_out(self._accept(seen), mask)

    @torch.inference_mode()
    def look_ahead(self, frame: UInt8[np.ndarray, "y x 3"]) -> None:
        """Encode a frame before it is given to `start` or `step`: to tell what encoding costs from all the rest."""
        self._eye.look_ahead(frame)

    @torch.inference_mode()
    def correct(self, mask: Ids) -> Ids:
        """Replace the latest frame's mask; it is remembered for ever and the following frames learn from it.

        What was remembered of the frames since the last pinned one is dropped: it led to the error.

        Args:
            mask: The right ids for the whole frame; objects that are not in it are absent here. New ids are new
                objects.

        Returns:
            The mask, in the type that `step` returns.

        Raises:
            UsageError: There is no frame to correct.
            MaskMismatch: Another size than the frame's.
        """
        table = self._started()
        table.check(mask)
        if self._latest is None:
            raise UsageError("no frame to correct yet; call start first")
        self._memory.forget_recent()
        self._make_room(table.enrol(mask))
        self._accept(self._draw(self._latest.key, self._latest.context, mask))
        return table.as_ids(mask)

    def _started(self) -> ObjectTable:
        if self._table is None:
            raise UsageError("the tracker has no first mask yet; call start(frame, mask) before")
        return self._table

    def _make_room(self, new: int) -> None:
        if new and len(self._memory):
            self._memory.add_objects(new, parts=self.config.labels.scale**2)

    def _given(self, image: Tensor, features: FrameFeatures, mask: Ids) -> _Seen:
        context = self._model.prepare_masks(image, features) if self.config.refine.rounds else None
        return self._draw(self._eye.key(features), context, mask)

    def _draw(self, key: Tensor, context: MaskContext | None, mask: Ids) -> _Seen:
        table = self._started()
        drawn = table.draw(mask, key.device)
        cells = table.draw_cells(mask, self._label_stride, key.device)
        coarse = mask_ops.to_cells(drawn, self._label_stride) if cells is None else cells
        return _Seen(key, context, coarse, drawn, pinned=True)

    def _follow(self, image: Tensor, features: FrameFeatures) -> _Seen:
        key = self._eye.key(features)
        h, w, _ = key.shape
        propagate = propagation(key, self._memory, self.config, self._eye.find)
        coarse = settle(self._unfolded(propagate(self._memory.labels), (h, w)), self.config.labels)[None]
        context = fine = None
        if self.config.refine.rounds:
            context = self._model.prepare_masks(image, features)
            start = mask_ops.to_pixels(coarse, self._label_stride)
            self.watch_rounds(0, start)

            def values(objects: range) -> Tensor:
                return torch.stack([propagate(self._memory.values(o)).T for o in objects]).unflatten(2, (h, w))[None]

            fine = refine(self._model, context, values, start, self.config.refine.rounds, watch=self.watch_rounds)
        seen = _Seen(key, context, coarse, fine, pinned=False)
        return self._snapped(image, seen) if self.config.show.edge_px else seen

    @property
    def _label_stride(self) -> int:
        """Pixels of the padded frame per label."""
        return self._eye.stride // self.config.labels.scale

    def _unfolded(self, carried: Float[Tensor, "m l"], grid: tuple[int, int]) -> Float[Tensor, "o1 h2 w2"]:
        maps = unfold(carried, grid, self.config.labels.scale)
        return stretch(maps, self.config.labels.lost_below) if self.config.labels.restore_contrast else maps

    def _snapped(self, image: Tensor, seen: _Seen) -> _Seen:
        masks = self._pixels(seen)
        # Not remembered: small mistakes along edges would add up from frame to frame.
        return replace(seen, shown=guided_filter(image, masks, radius_px=self.config.show.edge_px).clamp(0, 1))

    def _pixels(self, seen: _Seen) -> Float[Tensor, "1 o1 y x"]:
        return mask_ops.to_pixels(seen.coarse, self._label_stride) if seen.fine is None else seen.fine

    def _insert(self, seen: _Seen, mask: Ids) -> _Seen:
        table = self._started()
        before = len(table.ids)
        fine = self._pixels(seen)
        drawn = table.insert(fine, mask)
        self._make_room(len(table.ids) - before)
        cells = table.draw_cells(mask, self._label_stride, fine.device)
        coarse = mask_ops.to_cells(drawn, self._label_stride) if cells is None else table.over(seen.coarse, cells, mask)
        return _Seen(seen.key, seen.context, coarse, drawn, pinned=True)

    def _remember(self) -> None:
        seen = self._latest
        if seen is None:
            return
        labels = seen.coarse
        soft = not (seen.pinned or self.config.labels.hard)
        if seen.fine is not None and soft and self.config.refine.remember != "coarse":
            if self.config.refine.remember == "changes":
                labels = with_changes(seen.coarse, seen.fine, self._label_stride)
            else:
                labels = mask_ops.to_cells(seen.fine, self._label_stride)
        values = None
        if seen.context is not None and seen.fine is not None:
            values = embed(self._model, seen.context, seen.fine)
        entry = Entry(key=seen.key, labels=fold(labels, self.config.labels.scale), values=values)
        self._memory.keep(entry, given=seen.pinned)

    def _accept(self, seen: _Seen) -> LabelMap:
        table = self._started()
        fine = seen.fine if seen.shown is None else seen.shown
        maps, stride = (seen.coarse, self._label_stride) if fine is None else (fine, 1)
        found = table.decide(maps[0], stride)
        if self.config.labels.hard:
            cells = harden(found.channel, len(table.ids) + 1, table.framing, self._label_stride, self.config.labels)
            seen = replace(seen, coarse=cells.to(seen.coarse.device))
        self._latest = seen
        return found
