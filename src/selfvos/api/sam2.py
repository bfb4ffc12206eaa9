"""The calls of SAM 2's video predictor, for programs that were written for it."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfvos.api.tracking import Video, track_config
from selfvos.api.weights import load
from selfvos.data.ahead import ahead
from selfvos.data.source import Source, open_source
from selfvos.errors import MaskMismatch, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker
from selfvos.types import Frame

_SURE = 10.0
"""Logit of what was drawn, and the largest there is."""
_LEAST = 1e-3
"""Logits keep at least this far from 0, so that their sign is the mask."""

Logits = Float[Tensor, "o 1 y x"]
Answer = tuple[int, list[Any], Logits]
"""Frame index, ids of all objects, and their logits at the size of the video: an object is where its are above 0."""


@dataclass
class InferenceState:
    """A video, and what was drawn on it. Entries that programs look up by name are there: see `__getitem__`."""

    source: Source
    height: int
    width: int
    frames: int
    objects: list[Hashable] = field(default_factory=list)
    """Ids as the caller gave them; the n-th is n + 1 inside."""
    given: dict[int, dict[Hashable, Bool[np.ndarray, "y x"]]] = field(default_factory=dict)
    """Masks by frame and object; of pixels drawn for several, the object drawn last has them."""

    def __getitem__(self, name: str) -> Any:
        """Return ``num_frames``, ``video_height``, ``video_width`` or ``obj_ids``."""
        return {
            "num_frames": self.frames,
            "video_height": self.height,
            "video_width": self.width,
            "obj_ids": list(self.objects),
        }[name]

    def ids(self, frame: int) -> np.ndarray:
        """Return what was drawn on a frame, as ids from 1."""
        ids = np.zeros((self.height, self.width), np.uint16)
        for thing, mask in self.given.get(frame, {}).items():
            ids[mask] = self.objects.index(thing) + 1
        return ids

    def check_frame(self, frame: int) -> None:
        """Raise `UsageError` where the video has no such frame."""
        if not 0 <= frame < self.frames:
            raise UsageError(f"no frame {frame}; the video has frames 0 to {self.frames - 1}")


class VideoPredictor:
    """Follows masks through a video by the calls that SAM 2's video predictor has.

    Departures: masks are the only prompt. A pixel belongs to one object at most. Frames are read when they are
    tracked and never kept, whatever the length of the video. Objects can be added and removed at any time. Each
    propagation tracks anew, from what is drawn by then, so a correction always counts. Videos are anything that selfvos
    opens.
    """

    def __init__(self, model: Segmenter, config: TrackConfig | None = None) -> None:
        """Make a predictor of a loaded network, with settings that are by default those the weights recommend."""
        self.model = model
        self.config = config

    @classmethod
    def from_pretrained(cls, weights: str | Path = "default", *, device: str = "auto") -> "VideoPredictor":
        """Load weights by name, file or folder of a run; nothing is downloaded."""
        return cls(load(weights, device=device))

    def init_state(
        self,
        video_path: Video,
        *,
        offload_video_to_cpu: bool = False,  # noqa: ARG002
        offload_state_to_cpu: bool = False,  # noqa: ARG002
        async_loading_frames: bool = False,  # noqa: ARG002
    ) -> InferenceState:
        """Open a video.

        Args:
            video_path: A video file, a folder of pictures, RGB uint8 arrays y x 3, or a source.
            offload_video_to_cpu: Taken, and without effect, as the next two: frames are never all in memory.
            offload_state_to_cpu: See above.
            async_loading_frames: See above.

        Raises:
            UsageError: There is no such video, or its frames come from an iterator.
            BrokenVideo: It cannot be read.
        """
        source = video_path if isinstance(video_path, Source) else open_source(video_path)
        count = source.exact_count()
        if count is None or source.size is None:
            raise UsageError("these frames come one after the other; give a file, a folder or a list of them")
        return InferenceState(source, *source.size, count)

    def add_new_mask(self, inference_state: InferenceState, frame_idx: int, obj_id: Hashable, mask: Any) -> Answer:
        """Draw an object on a frame; an earlier drawing of it there is replaced.

        Args:
            inference_state: From `init_state`.
            frame_idx: Which frame, from 0.
            obj_id: Any id; one that is new is a new object.
            mask: y x at the size of the video, array or tensor; from 0.5 on a pixel is the object's.

        Returns:
            What is drawn on the frame by now.

        Raises:
            UsageError: No such frame.
            MaskMismatch: Another size than the video's, or nothing is drawn.
        """
        state = inference_state
        state.check_frame(frame_idx)
        drawn = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask).astype(np.float32) >= 0.5
        if drawn.shape != (state.height, state.width):
            raise MaskMismatch(f"mask is {drawn.shape}, the video is {(state.height, state.width)}; draw it on a frame")
        if not drawn.any():
            raise MaskMismatch(f"the mask of object {obj_id!r} on frame {frame_idx} is empty; draw something")
        if obj_id not in state.objects:
            state.objects.append(obj_id)
        on_frame = state.given.setdefault(frame_idx, {})
        on_frame.pop(obj_id, None)  # so that it comes last, and has the pixels that others share with it
        on_frame[obj_id] = drawn
        return self._drawn(state, frame_idx)

    def add_new_points_or_box(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: networks learned without labels turn no point into an object.

        Raises:
            UsageError: Always; it says what to do instead.
        """
        raise UsageError("points and boxes are no prompt here; draw a mask (selfvos web VIDEO) and give add_new_mask")

    def clear_all_prompts_in_frame(
        self, inference_state: InferenceState, frame_idx: int, obj_id: Hashable, *, need_output: bool = True
    ) -> Answer | None:
        """Take back what was drawn of an object on a frame."""
        state = inference_state
        state.given.get(frame_idx, {}).pop(obj_id, None)
        state.given = {frame: drawn for frame, drawn in state.given.items() if drawn}
        return self._drawn(state, frame_idx) if need_output else None

    def remove_object(
        self, inference_state: InferenceState, obj_id: Hashable, *, strict: bool = False, need_output: bool = True
    ) -> tuple[list[Any], list[tuple[int, Logits]]]:
        """Take an object out, whenever that is.

        Returns:
            The ids that are left, and what is left on the frames that it was drawn on.

        Raises:
            UsageError: With `strict`, where there is no such object.
        """
        state = inference_state
        if obj_id not in state.objects:
            if strict:
                raise UsageError(f"no object {obj_id!r}; there are {state.objects}")
            return list(state.objects), []
        frames = [frame for frame, drawn in sorted(state.given.items()) if obj_id in drawn]
        for frame in frames:
            self.clear_all_prompts_in_frame(state, frame, obj_id, need_output=False)
        state.objects.remove(obj_id)
        left = [(frame, self._drawn(state, frame)[2]) for frame in frames] if need_output else []
        return list(state.objects), left

    def reset_state(self, inference_state: InferenceState) -> None:
        """Forget all objects and drawings of a video."""
        inference_state.objects.clear()
        inference_state.given.clear()

    def propagate_in_video(
        self,
        inference_state: InferenceState,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[Answer]:
        """Track all objects, and yield each frame in turn.

        Objects that are not drawn on the start are tracked there from their nearest drawing behind it; frames before
        the start are not yielded. Drawings off the way are remembered where they show all objects.

        Args:
            inference_state: With at least one drawing.
            start_frame_idx: By default the first frame that was drawn on.
            max_frame_num_to_track: Frames after the start; by default to the end.
            reverse: Towards frame 0.

        Raises:
            UsageError: Nothing was drawn at or behind the start, or there is no such frame.
        """
        state, step = inference_state, -1 if reverse else 1
        if not state.given:
            raise UsageError("nothing was drawn yet; call add_new_mask first")
        start = min(state.given) if start_frame_idx is None else start_frame_idx
        state.check_frame(start)
        behind = [frame for frame in state.given if (start - frame) * step >= 0]
        if not behind:
            side = "after" if reverse else "before"
            raise UsageError(f"nothing was drawn on frame {start} or {side} it; draw there, or start elsewhere")
        last = 0 if reverse else state.frames - 1
        if max_frame_num_to_track is not None:
            last = min(start + max_frame_num_to_track, last) if step > 0 else max(start - max_frame_num_to_track, last)
        begin = _begin(state, behind, step)
        return self._propagate(state, _Way(begin, start, last, step))

    def _propagate(self, state: InferenceState, way: "_Way") -> Iterator[Answer]:
        tracker, known = Tracker(self.model, self.config), list(state.objects)
        masks = {frame: state.ids(frame) for frame in state.given if way.passes(frame)}
        for frame in tracker.ahead(ahead(way.frames(state.source))):
            # Whoever calls may have set a lower precision, as SAM 2's example does; matching here has its own.
            with torch.autocast(self.model.device.type, enabled=False):
                ids = _next(tracker, frame, masks.get(frame.index))
                if frame.index == way.begin:
                    _remember(tracker, state, way)
                wanted = (frame.index - way.start) * way.step >= 0
                logits = _logits(tracker, ids, len(known)) if wanted else None
            if logits is not None:
                yield frame.index, list(known), logits

    def _drawn(self, state: InferenceState, frame: int) -> Answer:
        ids = state.ids(frame)
        inside = np.stack([ids == i + 1 for i in range(len(state.objects))]) if state.objects else ids[None][:0] > 0
        return frame, list(state.objects), torch.from_numpy(np.where(inside, _SURE, -_SURE).astype(np.float32))[:, None]


def build_sam2_video_predictor(
    weights: str | Path = "default", *, quality: str | None = None, device: str = "auto"
) -> VideoPredictor:
    """Make a `VideoPredictor`, under the name that programs for SAM 2 know.

    Args:
        weights: In place of SAM 2's configuration and checkpoint: a name, a ``.safetensors`` file or a run's folder.
        quality: ``fast``, ``balanced`` or ``best``, where the weights know it.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """
    model = load(weights, device=device)
    return VideoPredictor(model, track_config(model, None, quality))


@dataclass(frozen=True)
class _Way:
    """The frames from a drawing to the last that is asked for."""

    begin: int
    """Where tracking begins."""
    start: int
    """The first frame that is asked for."""
    last: int
    step: int

    def place(self, frame: int) -> int:
        return (frame - self.begin) * self.step

    def passes(self, frame: int) -> bool:
        return 0 <= self.place(frame) <= self.place(self.last)

    def frames(self, source: Source) -> Iterator[Frame]:
        stop = self.last + self.step
        return source.frames(self.begin, None if stop < 0 else stop, self.step)


def _begin(state: InferenceState, behind: list[int], step: int) -> int:
    """Return the frame from which on every object that was drawn behind the start is drawn once."""
    latest: dict[Hashable, int] = {}
    for frame in sorted(behind, key=lambda frame: frame * step):
        latest |= dict.fromkeys(state.given[frame], frame)
    return min(latest.values(), key=lambda frame: frame * step)


def _next(tracker: Tracker, frame: Frame, drawn: np.ndarray | None) -> np.ndarray:
    """Track one frame. What is drawn on it stands, and what the latest frames say otherwise is forgotten."""
    if not tracker.objects:
        assert drawn is not None  # the way begins at a drawing
        return tracker.start(frame.rgb, drawn)
    found = tracker.step(frame.rgb, drawn)
    # Those frames took for background what is only drawn now, or are what led to the error that is mended.
    return found if drawn is None else tracker.correct(found)


def _remember(tracker: Tracker, state: InferenceState, way: _Way) -> None:
    """Give a tracker that has just started the drawings off its way; what one leaves out would count as absent."""
    for frame, drawn in sorted(state.given.items()):
        if not way.passes(frame) and len(drawn) == len(state.objects):
            seen = next(iter(state.source.frames(frame, frame + 1)))
            tracker.remember(seen.rgb, state.ids(frame))


def _logits(tracker: Tracker, mask: np.ndarray, count: int) -> Logits:
    """Return logits of all objects, whose signs are exactly the mask."""
    found = np.full((count, 1, *mask.shape), -_SURE, np.float32)
    for state, soft in zip(tracker.objects, tracker.soft(), strict=True):
        odds = np.clip(soft, 1e-6, 1 - 1e-6)
        logits = np.clip(np.log(odds / (1 - odds)), -_SURE, _SURE)
        inside = mask == state.id
        found[state.id - 1, 0] = np.where(inside, np.maximum(logits, _LEAST), np.minimum(logits, -_LEAST))
    return torch.from_numpy(found)
