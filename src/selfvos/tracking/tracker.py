"""Frame in, mask out."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.ops.label_map import LabelMap
from selfvos.tracking.edges import make_guide
from selfvos.tracking.encoded_ahead import EncodedAhead, Encoder
from selfvos.tracking.encoding import EncodedFrame, FeatureCache, FrameEncoding
from selfvos.tracking.object_table import Ids, ObjectTable
from selfvos.tracking.propagator import SYSTEMS, Foresees, GivenMasks, PreparesFrames, SoftMasks, system_name
from selfvos.tracking.recommendation import recommended
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.showing import Shown
from selfvos.tracking.windows import Windows
from selfvos.types import Frame, ObjectState, Watch, ignore

_SURVEYED = 5
"""Of so many frames of the first window, one is looked at before any is followed."""


@dataclass(frozen=True)
class Snapshot:
    """All that a tracker knows at one frame of a video; it never changes."""

    table: ObjectTable
    shown: Shown
    propagator: Any


class Tracker:
    """Follows any number of objects through a video of any length, one frame at a time.

    ``start`` with a frame and its mask, ``step`` through the frames that follow, forward or backward, ``correct`` the
    latest mask where it is wrong: a corrected frame is remembered for ever. ``remember`` adds a mask of a frame that is
    not on the way; ``snapshot`` and ``restore`` go back to a frame without tracking again what came before it. As a
    context manager it gives its memory back at the end of the block, also while something still refers to it.

    It knows ids, sizes, checks, and what is shown; how masks get from frame to frame is its `Propagator`'s business.
    """

    def __init__(self, model: Segmenter, config: TrackConfig | None = None, cache: FeatureCache | None = None) -> None:
        """Make a tracker.

        Args:
            model: Network in evaluation mode.
            config: Settings; by default those that the weights recommend, or else the paper's.
            cache: Shared by trackers of one network that are given the same frames in step: what equal parts of their
                settings say alike is done once.

        Raises:
            UnknownName: No such system.
            UsageError: Refinement is asked of weights without a mask path, the feature does not exist, or the system
                cannot work with these weights or settings.
        """
        self.config = config or recommended(model)
        self._encoding = FrameEncoding(model, self.config.frame, cache, stages=self.config.feature.stages)
        self._make = partial(SYSTEMS.get(system_name(model, self.config)), self._encoding, self.config)
        self.propagator = self._make()
        """The method that carries masks from frame to frame."""
        self._table: ObjectTable | None = None
        self._shown: Shown | None = None
        self._encoded_ahead = EncodedAhead()
        self._windows = Windows()
        self._watch: Watch = ignore

    def close(self) -> None:
        """Give back all memory that the video has taken; `start` begins another one."""
        self._table = self._shown = None
        self._windows, self._watch = Windows(), ignore
        self.propagator = self._make()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def supervision(self) -> str:
        """What sets results apart wherever they are shown: that they are supervised; empty where nothing does."""
        return self.propagator.supervision

    @property
    def precision(self) -> str:
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""
        return self.propagator.precision

    @property
    def objects(self) -> tuple[ObjectState, ...]:
        """State of every object in the latest frame, in the order in which they were given."""
        return self._table.states if self._table else ()

    @torch.inference_mode()
    def start(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids) -> Ids:
        """Begin a video, at any of its frames: forget everything, learn the objects of a first mask.

        Args:
            frame: RGB.
            mask: Object ids, 0 for background, at the frame's size.

        Returns:
            The mask, in the type that `step` returns.

        Raises:
            MaskMismatch: The mask has another size than the frame, or no object.
        """
        table = ObjectTable(self._encoding.fit(frame), self.config, mask)
        self._table = None  # broken off while it learns, it has not started
        self._windows.forget()
        self.propagator.start(self._encode(frame, table))
        self._show(table, self.propagator.learn(self._drawn(table, mask)))
        self._table = table
        return table.as_ids(mask)

    def ahead(self, frames: Iterable[Frame], *, smooth: bool = False, watch: Watch = ignore) -> Iterator[Frame]:
        """Hand on the frames of a walk; from the first mask on, each is encoded while the one before it is tracked.

        ``for frame in tracker.ahead(frames): tracker.step(frame.rgb)`` gives the same masks in less time. Frames are
        read in another thread then. They come as they are with one thread, on other devices than the CPU, where
        trackers share a cache, and with supervised systems.

        Args:
            frames: In the order in which they are tracked; of these, one more is read than is handed on.
            smooth: Let frames that come later have a say in the masks of each, where the settings say so
                (`TrackConfig.smooth`): a whole window is read, and its masks are there all at once. Not where trackers
                share a cache, or somebody watches matches.
            watch: Told how far a window is while it is tracked, and asked whether to stop.
        """
        cached, method = self._encoding.cache is not None, self.propagator
        if smooth and self.config.smooth and not cached and isinstance(method, Foresees) and not method.is_watched:
            self._watch = watch
            return self._windows.walk(frames, lambda: self._table is not None, self.config.smooth)
        alone = not cached and self._encoding.network.device.type == "cpu"
        if not (alone and isinstance(method, PreparesFrames)):
            return iter(frames)
        return self._encoded_ahead.walk(frames, Encoder(lambda: self._table, self._prepare))

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
            self._windows.forget()
        elif (foreseen := self._windows.take(frame, lambda frames: self._foresee(frames, table))) is not None:
            encoded = self._encode(frame, table)
            encoded.prepared = foreseen
            return self._follow(table, encoded, None)
        encoded = self._encoded_ahead.take(frame, table)
        if encoded is None:
            return self._follow(table, self._encode(frame, table), mask)
        with self._encoded_ahead.beside():
            return self._follow(table, encoded, mask)

    @torch.inference_mode()
    def correct(self, mask: Ids) -> Ids:
        """Replace the latest frame's mask; it is remembered for ever and the following frames learn from it.

        What was remembered of the frames since the last one with a given mask is dropped: it led to the error.

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
        self._windows.forget()
        self.propagator.forget_recent()
        table.enrol(mask)
        self._show(table, self.propagator.learn(self._drawn(table, mask)))
        return table.as_ids(mask)

    @torch.inference_mode()
    def remember(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids, *, complete: bool = True) -> None:
        """Remember for ever a frame that is not on the way, before or after, with its mask.

        Tracks from two such frames can meet in the middle: both know both.

        Args:
            frame: RGB, as large as the first.
            mask: The right ids for the whole frame; new ids are new objects.
            complete: False where objects are tracked that had no name when this was drawn: what shows no object may
                show one of them, and is not taken for background. Supervised systems take it so in any case.

        Raises:
            UsageError: `start` has not been called.
            MaskMismatch: Frame or mask have another size than the first frame.
        """
        table = self._started()
        table.check_frame(frame)
        table.check(mask)
        table.enrol(mask)
        self._windows.forget()
        given = replace(self._drawn(table, mask), complete=complete)
        self.propagator.remember(self._encode(frame, table), given)

    def snapshot(self) -> Snapshot:
        """Return all that is known at the latest frame.

        It shares with the tracker, and with other snapshots, what does not change any more.

        Raises:
            UsageError: `start` has not been called.
        """
        table = self._started()
        return Snapshot(table.copy(), self._decided(), self.propagator.snapshot())

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to the frame at which a snapshot of this tracker, or of one with the same settings, was made.

        What follows is, bit for bit, what followed then.
        """
        self._windows.forget()
        self.propagator.restore(snapshot.propagator)
        # In the end: what another thread makes of the next frame counts only for the table that it was made for.
        self._table, self._shown = snapshot.table.copy(), snapshot.shown

    @torch.inference_mode()
    def soft(self) -> Float[np.ndarray, "o y x"]:
        """Return how likely each pixel of the latest frame belongs to each object, as its mask was decided.

        It is computed when it is asked for, and is 4 bytes for each object and pixel.

        Returns:
            float32 at native size, in the order of `objects`. With labels that are stretched (`LabelConfig.min_max`)
            or have a gain, and with `ShowConfig.sure` or `lines_px`, those of a pixel do not sum to at most 1.

        Raises:
            UsageError: `start` has not been called.
        """
        return self._started().soft(self._decided())

    def _started(self) -> ObjectTable:
        if self._table is None:
            raise UsageError("the tracker has no first mask yet; call start(frame, mask) before")
        return self._table

    def _decided(self) -> Shown:
        if self._shown is None:
            raise UsageError("the latest frame has no mask, since an error broke it off: start, or restore a snapshot")
        return self._shown

    def _encode(self, frame: UInt8[np.ndarray, "y x 3"], table: ObjectTable) -> EncodedFrame:
        return self._encoding.encode(frame, table.framing)

    def _prepare(self, frame: UInt8[np.ndarray, "y x 3"], table: ObjectTable) -> EncodedFrame:
        encoded = self._looked_at(frame, table)
        encoded.guide = make_guide(encoded.image, self.config.show.edge_px, self.config.show.edge_epsilon)
        return encoded

    def _foresee(self, frames: Sequence[Frame], table: ObjectTable) -> Sequence[Any]:
        """Return what `EncodedFrame.prepared` is to be of each of the frames that come next."""
        method = self.propagator
        assert isinstance(method, Foresees)
        method.survey(self._encode(frame.rgb, table) for frame in frames[::_SURVEYED])
        with closing(self._encoded_in_turn(frames, table)) as encoded:
            return method.foresee(encoded, len(frames), self._watch)

    def _encoded_in_turn(self, frames: Sequence[Frame], table: ObjectTable) -> Generator[EncodedFrame]:
        made = self._encoded_ahead
        for frame in made.walk(frames, Encoder(lambda: table, self._looked_at)):
            encoded = made.take(frame.rgb, table)
            if encoded is None:
                yield self._encode(frame.rgb, table)
            else:
                with made.beside():
                    yield encoded

    def _looked_at(self, frame: UInt8[np.ndarray, "y x 3"], table: ObjectTable) -> EncodedFrame:
        encoded = self._encode(frame, table)
        if isinstance(self.propagator, PreparesFrames):
            self.propagator.prepare(encoded)
        return encoded

    def _follow(self, table: ObjectTable, frame: EncodedFrame, mask: Ids | None) -> Ids:
        soft = self.propagator.follow(frame)
        if mask is not None and mask.any():
            soft = self.propagator.learn(self._put_in(table, soft, mask))
        return table.read_out(self._show(table, soft, frame), mask)

    def _drawn(self, table: ObjectTable, mask: Ids) -> GivenMasks:
        device = self._encoding.network.device
        cells = table.draw_cells(mask, self.propagator.label_stride, device)
        return GivenMasks(table.draw(mask, device), cells, table.named(mask))

    def _put_in(self, table: ObjectTable, soft: SoftMasks, mask: Ids) -> GivenMasks:
        """Return tracked masks with what was drawn over them."""
        pixels = table.insert(soft.in_pixels(), mask)
        cells = table.draw_cells(mask, soft.stride, pixels.device)
        return GivenMasks(pixels, None if cells is None else table.over(soft.cells, cells, mask), table.named(mask))

    def _show(self, table: ObjectTable, soft: SoftMasks, tracked: EncodedFrame | None = None) -> LabelMap:
        """Decide every pixel; in a frame that was tracked, outlines may move to edges of the picture."""
        moves = tracked is not None and self.config.show.edge_px > 0
        self._shown = None  # broken off while it decides, it has no mask
        image = tracked.image if tracked is not None and moves else None
        guide = tracked.guide if tracked is not None else None
        shown = Shown(soft, image, self.config.show, table.line_levels, given=tracked is None, guide=guide)
        found = table.decide(shown)
        self._shown = replace(shown, guide=None)  # it is as large as the frame, and made again if it is wanted
        self.propagator.decided(found)
        return found
