"""Where a pixel's label comes from: the memory cells that a cell of a tracked frame was matched with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from PIL import Image
from torch import Tensor

from selfvos.api.given_masks import GivenMask, Masks, read_given
from selfvos.api.span import Leg, Span, legs
from selfvos.api.tracking import Video, follow
from selfvos.data.ahead import ahead
from selfvos.data.matched_cells import Cells, MatchedFrame, draw_query, sheet
from selfvos.data.overlay import save_image
from selfvos.data.source import FrameArrays, Source, open_source
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.ops.matching import Matches
from selfvos.tracking.framing import Framing
from selfvos.tracking.label_propagation import LabelPropagation
from selfvos.tracking.propagation import copies_in_front
from selfvos.tracking.settings import MatchConfig, TrackConfig
from selfvos.tracking.system import make_tracker, recommended
from selfvos.types import Frame, Tracked, Watch, go_on, ignore

_PANEL_PX = 360
"""Longer side of a frame in the picture."""


@dataclass(frozen=True, kw_only=True)
class PixelMatches:
    """A pixel of a tracked frame, and what of memory decided its label."""

    frame: int
    """Index of the tracked frame."""
    at: tuple[int, int]
    """Column and row of the pixel."""
    object: int
    """Id that it was given; 0 for background."""
    cells: Cells
    """How the video is cut into cells."""
    rgb: UInt8[np.ndarray, "y x 3"]
    """The tracked frame, small."""
    mask: Integer[np.ndarray, "y x"]
    """What was found in it, as small."""
    memory: tuple[MatchedFrame, ...]
    """The remembered frames, in the order of the video. Their weights sum to 1."""

    def to_dict(self) -> dict[str, Any]:
        """Return the matches as plain data: row, column and weight of each cell."""
        frames = [
            {"frame": one.index, "weight": round(one.weight, 4), "cells": [list(cell) for cell in one.kept]}
            for one in self.memory
            if one.kept
        ]
        return {"frame": self.frame, "at": list(self.at), "object": self.object, "memory": frames}

    def save(self, path: str | Path) -> Path:
        """Draw the pixel's cell, and remembered frames with heat and with frames around what was matched.

        Raises:
            UsageError: Neither .png nor .jpg.
            OutOfSpace: The disk is full.
        """
        what = f"object {self.object}" if self.object else "background"
        caption = f"frame {self.frame} at {self.at[0]},{self.at[1]}: {what}"
        query = draw_query(self.rgb, self.mask, self.cells, self.at)
        save_image(path, sheet(query, caption, self.memory, self.cells))
        return Path(path)


def find_matches(
    model: Segmenter,
    video: Video,
    masks: GivenMask | Masks,
    place: tuple[int, int, int],
    *,
    config: TrackConfig | None = None,
    watch: Watch = ignore,
) -> PixelMatches:
    """Track to a frame, and return what the label of one of its pixels was taken from.

    Args:
        model: A loaded network.
        video: As in `track`.
        masks: As in `track`; a frame before all of them is reached by tracking backward.
        place: Frame, column and row of the pixel.
        config: How to track; by default as the weights recommend.
        watch: Hears of every frame; is asked to go on before each.

    Raises:
        UsageError: No such frame or pixel, a frame where tracking begins, or settings or weights that match no cells.
        MaskMismatch: A mask does not fit the video.
        BrokenVideo: No frame can be read.
        Stopped: The watch asked for it.
    """
    frame, x, y = place
    source = video if isinstance(video, Source) else open_source(video)
    config = config or recommended(model)
    walk = _walk(source, read_given(masks if isinstance(masks, Mapping) else {0: masks}, source.size), frame)
    tracker = make_tracker(model, config)
    seen = _Seen(tracker.propagator, config)
    kept: dict[int, Tracked] = {}
    last = None
    for tracked in follow(tracker, _armed(walk, source, seen, watch), walk.masks):
        last, index = tracked, tracked.frame.index
        kept[index] = _small(tracked)
        seen.forget(kept, walk, index)
    if last is None or last.frame.index != frame:
        raise UsageError(f"the video ends before frame {frame}")
    height, width = last.mask.shape
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(f"no pixel {x},{y}; frames are {width} wide and {height} high")
    framing = Framing.fit((height, width), config.frame, model.stride)
    cells = Cells(framing.native, framing.resized, framing.padded, seen.propagator.feature.stride)
    memory = tuple(sorted(seen.found(cells, (x, y), walk, kept), key=lambda one: one.index))
    object = int(last.mask[y, x])
    small = kept[frame]
    return PixelMatches(
        frame=frame, at=(x, y), object=object, cells=cells, rgb=small.frame.rgb, mask=small.mask, memory=memory
    )


class _Seen:
    """What was matched in the frame that is asked about."""

    def __init__(self, propagator: Any, config: TrackConfig) -> None:
        if not isinstance(propagator, LabelPropagation) or not isinstance(config.match, MatchConfig):
            raise UsageError("this way to track keeps no matches; name other weights, or settings with match.top_k")
        self.propagator = propagator
        self.armed = False
        self._config = config
        self._walked: list[int] = []
        self._copies, self._oldest = 0, 0
        self._matches: Matches | None = None
        self._keys = torch.empty(0)
        propagator.watch_matches = self

    def __call__(self, walked: list[int], matches: Matches | None) -> None:
        """Note the matches of one frame."""
        if self.armed:
            memory = self.propagator.memory
            self._walked, self._matches, self._keys = walked, matches, memory.keys.clone()
            self._copies, self._oldest = copies_in_front(memory, self._config), memory.oldest

    def forget(self, kept: dict[int, Tracked], walk: Leg, index: int) -> None:
        """Drop what no memory can hold any more."""
        lasting = {walk.start + walk.step * place for place in (*walk.masks, *self._places(walk))}
        for old in [i for i in kept if i not in lasting and abs(index - i) > self._config.memory.recent + 1]:
            del kept[old]

    def _places(self, walk: Leg) -> list[int]:
        first = _first(walk)
        return [first + number for number in self._config.memory.permanent]

    def found(
        self, cells: Cells, at: tuple[int, int], walk: Leg, kept: Mapping[int, Tracked]
    ) -> Iterator[MatchedFrame]:
        """Return for each remembered frame what a cell took from it."""
        if self._matches is None:
            raise UsageError("tracking begins at this frame: its mask was given, and nothing was matched; name another")
        row, column = cells.at(*at)
        height, width = cells.grid
        cell, area = row * width + column, height * width
        heat = self._heat(self.propagator.snapshot().view.key[row, column])
        # By place in memory and cell: copies of a frame that fill memory count as that frame.
        chosen: dict[tuple[int, int], float] = {}
        for index, weight in zip(self._matches.index[cell].tolist(), self._matches.weight[cell].tolist(), strict=True):
            if weight > 0:
                frame = index // area - self._copies
                spot = (self._oldest if frame < 0 else frame, index % area)
                chosen[spot] = chosen.get(spot, 0.0) + weight
        for slot, number in enumerate(self._walked):
            index = walk.start + walk.step * (_first(walk) + number)
            spots = tuple((*divmod(spot, width), round(one, 6)) for (of, spot), one in chosen.items() if of == slot)
            tracked = kept[index]
            yield MatchedFrame(
                index=index,
                weight=fsum(weight for *_, weight in spots),
                kept=spots,
                heat=heat[slot],
                rgb=tracked.frame.rgb,
                mask=tracked.mask,
            )

    def _heat(self, key: Tensor) -> np.ndarray:
        score = (self._keys @ key).float()
        above = (score - score.mean()) / (score.max() - score.mean()).clamp_min(torch.finfo(score.dtype).tiny)
        return above.clamp(0, 1).cpu().numpy()


def _first(walk: Leg) -> int:
    """Return the place on the way where the first object is."""
    return min(place for place, mask in walk.masks.items() if mask.any())


def _walk(source: Source, given: Mapping[int, np.ndarray], frame: int) -> Leg:
    count = source.count
    if frame < 0 or (count is not None and frame >= count):
        raise UsageError(f"no frame {frame}; the video has frames 0 to {(count or 0) - 1}")
    shown = [index for index, mask in given.items() if mask.any()]
    if frame < min(shown):
        return legs(Span(start=min(shown), end=frame, direction="backward"), {min(shown): given[min(shown)]}, count)[0]
    before = {index: mask for index, mask in given.items() if min(shown) <= index <= frame}
    return legs(Span(start=min(shown), end=frame), before, count)[0]


def _armed(walk: Leg, source: Source, seen: _Seen, watch: Watch) -> Iterator[Frame]:
    total = walk.length(source.count)
    frames = walk.frames(source)
    for done, frame in enumerate(frames if isinstance(source, FrameArrays) else ahead(frames)):
        go_on(watch)
        seen.armed = done + 1 == total
        yield frame
        watch.tell("tracking", done + 1, total)


def _small(tracked: Tracked) -> Tracked:
    """Return a tracked frame as large as a picture shows it."""
    height, width = tracked.mask.shape
    scale = min(1.0, _PANEL_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    frame = tracked.frame
    rgb = np.array(Image.fromarray(frame.rgb).resize(size, Image.Resampling.BOX))
    mask = np.array(Image.fromarray(tracked.mask).resize(size, Image.Resampling.NEAREST))
    return Tracked(Frame(rgb, frame.index, frame.name, frame.seconds), mask, tracked.objects)
