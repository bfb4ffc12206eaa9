"""Frame in, mask out."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import MaskMismatch, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.ops import masks as mask_ops
from selfvos.ops.label_map import LabelMap, label_map
from selfvos.ops.matching import Matches, match
from selfvos.ops.propagation import read
from selfvos.settings import from_dict
from selfvos.tracking.eye import Eye
from selfvos.tracking.framing import Framing
from selfvos.tracking.memory import Entry, Memory
from selfvos.tracking.refinement import WatchRounds, embed, refine
from selfvos.tracking.settings import TrackConfig
from selfvos.types import FrameFeatures, MaskContext, ObjectState, nobody

Ids = Integer[np.ndarray, "y2 x2"]
"""A mask given by a caller; whether it has the size of its frame is checked at run time, with a message."""
_MAX_ID = 65535


@dataclass(frozen=True)
class _Seen:
    """The latest frame: kept until the next one comes, so that its mask can still be corrected."""

    key: Float[Tensor, "h w c"]
    context: MaskContext | None
    coarse: Float[Tensor, "1 o1 h w"]
    fine: Float[Tensor, "1 o1 y x"] | None
    """Drawn or decoded masks of the padded frame; None where the coarse ones are all there is."""
    pinned: bool


class Tracker:
    """Follows any number of objects through a video of any length, one frame at a time.

    ``start`` with a frame and its mask, ``step`` through the frames that follow, ``correct`` the latest mask where
    it is wrong: a corrected frame is remembered for ever.

    Source:
        Mask-VOS, inference: memory of the first and the last N frames, one restricted top-k affinity shared by
        all objects, warped labels as coarse masks, R rounds of V and D. Departures: the coarse labels of frames
        before the memory is full are not padded with copies of the first frame; see also `Framing`.
    """

    def __init__(self, model: Segmenter, config: TrackConfig | None = None, beside: "Tracker | None" = None) -> None:
        """Make a tracker.

        Args:
            model: Network in evaluation mode.
            config: Settings; by default those that the weights recommend, or else the paper's.
            beside: A tracker of the same network that is given the same frames, in step with this one: each is
                encoded once for both.

        Raises:
            UsageError: Refinement is asked of weights without a mask path, the feature does not exist, or the other
                tracker sees frames at another size or precision.
        """
        self.config = config or recommended(model)
        if self.config.rounds and model.mask_path is None:
            raise UsageError("these weights have no mask path (V and D): set rounds to 0 for label propagation")
        self._eye = Eye(model, self.config, None if beside is None else beside._eye)
        self._model = self._eye.model
        self.precision = self._eye.precision
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""
        self.watch_rounds: WatchRounds = nobody
        """Called with the coarse masks of every tracked frame as round 0, then with those of each round after it."""
        self._framing: Framing | None = None
        self._memory = Memory(self.config.last)
        self._ids: list[int] = []
        self._latest: _Seen | None = None
        self._states: tuple[ObjectState, ...] = ()

    @property
    def objects(self) -> tuple[ObjectState, ...]:
        """State of every object in the latest frame, in the order in which they were given."""
        return self._states

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
        self._framing = self._eye.fit(frame)
        self._check(mask)
        if not mask.any():
            raise MaskMismatch("the first mask is empty; draw at least one object")
        self._memory, self._ids, self._latest = Memory(self.config.last), [], None
        image, features = self._eye.look(frame, self._framing)
        self._learn_ids(mask)
        self._accept(self._given(image, features, mask))
        return self._as_ids(mask)

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
        framing = self._started()
        if frame.shape[:2] != framing.native:
            raise MaskMismatch(f"frame is {_size(frame)}, the first one was {_size(framing.native)}; start a new video")
        if mask is not None:
            self._check(mask)
        self._remember()
        seen = self._follow(*self._eye.look(frame, framing))
        if mask is not None and mask.any():
            seen = self._insert(seen, mask)
        return self._read_out(self._accept(seen), mask)

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
        self._started()
        self._check(mask)
        if self._latest is None:
            raise UsageError("no frame to correct yet; call start first")
        self._memory.forget_recent()
        self._learn_ids(mask)
        self._accept(self._draw(self._latest.key, self._latest.context, mask))
        return self._as_ids(mask)

    def _started(self) -> Framing:
        if self._framing is None:
            raise UsageError("the tracker has no first mask yet; call start(frame, mask) before")
        return self._framing

    def _check(self, mask: Ids) -> None:
        native = self._started().native
        if mask.shape != native:
            raise MaskMismatch(f"mask is {_size(mask)}, frame is {_size(native)}; draw it on the frame itself")
        if mask.min() < 0 or mask.max() > _MAX_ID:
            raise MaskMismatch(f"object ids must be in 0..{_MAX_ID}, got {mask.min()}..{mask.max()}")

    def _learn_ids(self, mask: Ids) -> None:
        new = [int(i) for i in np.unique(mask) if i != 0 and int(i) not in self._ids]
        if new and len(self._memory):
            self._memory.add_objects(len(new))
        self._ids += new

    def _given(self, image: Tensor, features: FrameFeatures, mask: Ids) -> _Seen:
        context = self._model.prepare_masks(image, features) if self.config.rounds else None
        return self._draw(self._eye.key(features), context, mask)

    def _draw(self, key: Tensor, context: MaskContext | None, mask: Ids) -> _Seen:
        objects = self._started().objects(mask, self._ids, key.device)
        drawn = _with_background(objects)
        return _Seen(key, context, mask_ops.to_cells(drawn, self._model.stride), drawn, pinned=True)

    def _follow(self, image: Tensor, features: FrameFeatures) -> _Seen:
        key = self._eye.key(features)
        h, w, _ = key.shape
        matches = match(key, self._memory.keys, self._memory.permanent, self.config.match)
        coarse = read(self._memory.labels, matches).T.reshape(1, -1, h, w)
        if not self.config.rounds:
            return _Seen(key, None, coarse, None, pinned=False)
        context = self._model.prepare_masks(image, features)
        start = mask_ops.to_pixels(coarse, self._model.stride)
        self.watch_rounds(0, start)

        def values(objects: range) -> Tensor:
            return self._values(objects, matches, (h, w))

        fine = refine(self._model, context, values, start, self.config.rounds, watch=self.watch_rounds)
        return _Seen(key, context, coarse, fine, pinned=False)

    def _values(self, objects: range, matches: Matches, grid: tuple[int, int]) -> Float[Tensor, "1 o v h w"]:
        values = torch.stack([read(self._memory.values(o), matches).T for o in objects])
        return values.unflatten(2, grid)[None]

    def _insert(self, seen: _Seen, mask: Ids) -> _Seen:
        before = len(self._ids)
        self._learn_ids(mask)
        fine = mask_ops.to_pixels(seen.coarse, self._model.stride) if seen.fine is None else seen.fine
        tracked = F.pad(fine[:, 1:], (0, 0, 0, 0, 0, len(self._ids) - before))
        drawn = self._started().objects(mask, self._ids, tracked.device)
        # A drawn pixel belongs to what was drawn; an id that was drawn is nowhere else.
        named = torch.tensor([i in mask for i in self._ids], device=tracked.device).view(1, -1, 1, 1)
        free = 1 - drawn.sum(dim=1, keepdim=True).clamp(0, 1)
        objects = torch.where(named, drawn, tracked * free)
        drawn = _with_background(objects)
        return _Seen(seen.key, seen.context, mask_ops.to_cells(drawn, self._model.stride), drawn, pinned=True)

    def _remember(self) -> None:
        seen = self._latest
        if seen is None:
            return
        labels = seen.coarse
        if seen.fine is not None and self.config.remember == "decoded":
            labels = mask_ops.to_cells(seen.fine, self._model.stride)
        values = None
        if seen.context is not None and seen.fine is not None:
            values = embed(self._model, seen.context, seen.fine)
        entry = Entry(key=seen.key, labels=labels[0].flatten(1).T, values=values)
        (self._memory.pin if seen.pinned else self._memory.write)(entry)

    def _accept(self, seen: _Seen) -> LabelMap:
        self._latest = seen
        framing = self._started()
        maps, stride = (seen.coarse, self._model.stride) if seen.fine is None else (seen.fine, 1)
        size = framing.native if self.config.decide_at == "native" else framing.resized
        found = label_map(maps[0], stride=float(stride), resized=framing.resized, native=size)
        self._states = tuple(self._state(found, o) for o in range(len(self._ids)))
        return found if size == framing.native else found._replace(channel=framing.nearest(found.channel))

    def _state(self, found: LabelMap, o: int) -> ObjectState:
        pixels, total, peak = (float(numbers[o + 1]) for numbers in found[1:])
        lost = pixels == 0 or peak <= self.config.lost_below
        return ObjectState(id=self._ids[o], confidence=0.0 if lost else total / pixels, lost=lost)

    def _read_out(self, found: LabelMap, given: Ids | None) -> Ids:
        shown = [0, *(0 if state.lost else state.id for state in self._states)]
        ids = np.asarray(shown, self._dtype())[found.channel]
        if given is not None:
            ids = np.where(np.isin(ids, np.unique(given[given > 0])), 0, ids)
            ids = np.where(given > 0, given, ids)
        return self._as_ids(ids)

    def _as_ids(self, mask: Ids) -> Ids:
        return mask.astype(self._dtype())

    def _dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if max(self._ids, default=0) <= 255 else np.uint16


def recommended(model: Segmenter) -> TrackConfig:
    """Return the settings that a network's weights were chosen with, or the paper's where they say nothing.

    A network without V and D gets label propagation.
    """
    config = from_dict(TrackConfig, model.notes.get("track", {}))
    if model.mask_path is None and config.rounds:
        return from_dict(TrackConfig, {**model.notes.get("track", {}), "rounds": 0})
    return config


def _with_background(objects: Float[Tensor, "1 o y x"]) -> Float[Tensor, "1 o1 y x"]:
    return torch.cat([(1 - objects.sum(dim=1, keepdim=True)).clamp(0, 1), objects], dim=1)


def _size(shape: np.ndarray | tuple[int, ...]) -> str:
    y, x = (shape.shape if isinstance(shape, np.ndarray) else shape)[:2]
    return f"{y}x{x} (height x width)"
