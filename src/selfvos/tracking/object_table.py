"""The objects of one video: their ids as drawn, and how they turn into maps and back."""

import copy

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import MaskMismatch
from selfvos.ops.label_map import Decision, LabelMap, Layer, PixelGrid, layer_in_pixels
from selfvos.ops.levels import line_level, line_share
from selfvos.tracking.framing import Framing
from selfvos.tracking.labels import draw_cells, stretch_shown
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.showing import Shown
from selfvos.types import ObjectState

Ids = Integer[np.ndarray, "y2 x2"]
"""A mask given by a caller; whether it has the size of its frame is checked at run time, with a message."""
_MAX_ID = 65535


class ObjectTable:
    """Knows the ids of a video in the order in which they came, and how each object does in the latest frame."""

    def __init__(self, framing: Framing, config: TrackConfig, mask: Ids) -> None:
        """Enrol the objects of a video's first mask.

        Args:
            framing: Sizes of the video.
            config: Says where pixels are decided and when an object is lost.
            mask: Object ids, 0 for background.

        Raises:
            MaskMismatch: The mask has another size than the frame, or no object.
        """
        self.framing = framing
        self.ids: list[int] = []
        self.line_levels: list[float] = []
        """What lines of each object have to reach to be shown; empty where that is nothing special."""
        self.states: tuple[ObjectState, ...] = ()
        self._config = config
        self.check(mask)
        if not mask.any():
            raise MaskMismatch("the first mask is empty; draw at least one object")
        self.enrol(mask)

    def check_frame(self, frame: UInt8[np.ndarray, "y x 3"]) -> None:
        """Raise `MaskMismatch` where a frame has another size than the first."""
        native = self.framing.native
        if frame.shape[:2] != native:
            raise MaskMismatch(f"frame is {_size(frame)}, the first one was {_size(native)}; start a new video")

    def check(self, mask: Ids) -> None:
        """Raise `MaskMismatch` where a mask does not fit the video, or an id is out of range."""
        native = self.framing.native
        if mask.shape != native:
            raise MaskMismatch(f"mask is {_size(mask)}, frame is {_size(native)}; draw it on the frame itself")
        if mask.min() < 0 or mask.max() > _MAX_ID:
            raise MaskMismatch(f"object ids must be in 0..{_MAX_ID}, got {mask.min()}..{mask.max()}")

    def enrol(self, mask: Ids) -> int:
        """Add the ids of a mask that were not known; return how many."""
        new = [int(i) for i in np.unique(mask) if i != 0 and int(i) not in self.ids]
        self.ids += new
        if self._config.show.lines_px:
            self.line_levels += [self._line_level(mask == number) for number in new]
        return len(new)

    def named(self, mask: Ids) -> list[int]:
        """Return the places in the table of the objects that a mask shows."""
        shown = set(np.unique(mask).tolist())
        return [place for place, i in enumerate(self.ids) if i in shown]

    def draw(self, mask: Ids, device: torch.device) -> Float[Tensor, "1 o1 y x"]:
        """Return a drawn mask as maps of the padded frame, background first."""
        maps = torch.empty(1, 1 + len(self.ids), *self.framing.padded, device=device)
        for place, number in enumerate(self.ids, 1):
            # Masks at native size are the largest thing there is: one at a time.
            maps[:, place : place + 1] = self.framing.objects(mask, [number], device)
        maps[:, :1] = _background(maps[:, 1:])
        return maps

    def draw_cells(self, mask: Ids, stride: int, device: torch.device) -> Float[Tensor, "1 o1 h w"] | None:
        """Return the labels of cells, each of a single place of a drawn mask, background first.

        None where a cell gets the mean of its pixels.
        """
        how = self._config.labels.down
        if self._config.labels.hard and how != "subsample":
            how = "nearest"  # hard labels are those of single pixels
        if how == "area":
            return None
        cells = [
            draw_cells(self.framing.drawn(mask, [number], device), self.framing, stride, how) for number in self.ids
        ]
        return _with_background(torch.cat(cells, dim=1))

    def insert(self, soft: Float[Tensor, "1 o1 y x"], mask: Ids) -> Float[Tensor, "1 p1 y x"]:
        """Enrol what a mask shows and put it into what was tracked; see `over`."""
        self.enrol(mask)
        return self.over(soft, self.draw(mask, soft.device), mask)

    def over(
        self, tracked: Float[Tensor, "1 o1 y x"], drawn: Float[Tensor, "1 p1 y x"], mask: Ids
    ) -> Float[Tensor, "1 p1 y x"]:
        """Put what was drawn over what was tracked, where fewer objects may be known.

        A drawn pixel belongs to what was drawn; an id that was drawn is nowhere else.
        """
        objects = F.pad(tracked[:, 1:], (0, 0, 0, 0, 0, drawn.shape[1] - tracked.shape[1]))
        shown = torch.zeros(len(self.ids), dtype=torch.bool, device=tracked.device)
        shown[self.named(mask)] = True
        free = 1 - drawn[:, 1:].sum(dim=1, keepdim=True).clamp(0, 1)
        return _with_background(torch.where(shown.view(1, -1, 1, 1), drawn[:, 1:], objects * free))

    def decide(self, shown: Shown) -> LabelMap:
        """Give every pixel of the video to the strongest channel, and note how each object does."""
        framing, grid = self.framing, self._grid(shown)
        decision = Decision(grid, shown.soft.channels)
        for layer in shown.layers():
            decision.add(self._decided_by(layer, grid))
        found = decision.result()
        self.states = tuple(self._state(found, o) for o in range(len(self.ids)))
        return found if grid.native == framing.native else found._replace(channel=framing.nearest(found.channel))

    def soft(self, shown: Shown) -> Float[np.ndarray, "o y x"]:
        """Return at native size what `decide` decides by, without the background."""
        framing, grid = self.framing, self._grid(shown)
        found = np.zeros((shown.soft.channels - 1, *framing.native), np.float32)
        for layer in shown.layers():
            if not layer.channel:
                continue
            rows, columns, values = layer_in_pixels(self._decided_by(layer, grid), grid)
            if grid.native == framing.native:
                found[layer.channel - 1, rows, columns] = values.cpu().numpy()
            else:
                picture = np.zeros(grid.native, np.float32)
                picture[rows, columns] = values.cpu().numpy()
                found[layer.channel - 1] = framing.nearest(picture)
        return found

    def copy(self) -> "ObjectTable":
        """Return a table that knows the same and changes by itself."""
        table = copy.copy(self)
        table.ids, table.line_levels = list(self.ids), list(self.line_levels)
        return table

    def read_out(self, found: LabelMap, given: Ids | None) -> Ids:
        """Return the ids of a decided frame; pixels of a given mask are as given."""
        shown = [0, *(0 if state.lost else state.id for state in self.states)]
        ids = np.take(np.asarray(shown, self._dtype()), found.channel)
        if given is not None:
            ids = np.where(np.isin(ids, np.unique(given[given > 0])), 0, ids)
            ids = np.where(given > 0, given, ids)
        return self.as_ids(ids)

    def as_ids(self, mask: Ids) -> Ids:
        """Return a mask in the type of all results: uint8, or uint16 when an id is above 255."""
        return mask.astype(self._dtype())

    def _grid(self, shown: Shown) -> PixelGrid:
        """Return the pixels that get decided."""
        framing, up = self.framing, self._config.labels.up
        size = framing.native if self._config.show.decide_at == "native" else framing.resized
        stride = float(shown.stride)
        return PixelGrid(cells=shown.cells, stride=stride, resized=framing.resized, native=size, up=up)

    def _decided_by(self, layer: Layer, grid: PixelGrid) -> Layer:
        """Return a channel as it is compared with others."""
        return stretch_shown(layer.whole(grid.cells), grid) if self._config.labels.min_max == "shown" else layer

    def _state(self, found: LabelMap, o: int) -> ObjectState:
        pixels, total, peak = (float(numbers[o + 1]) for numbers in found[1:])
        lost = pixels == 0 or peak <= self._config.labels.lost_below
        return ObjectState(id=self.ids[o], confidence=0.0 if lost else min(total / pixels, 1.0), lost=lost)

    def _line_level(self, drawn: Bool[np.ndarray, "y2 x2"]) -> float:
        width_px = self._config.show.lines_px * min(self.framing.native) / min(self.framing.resized)
        return line_level(line_share(drawn, width_px))

    def _dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if max(self.ids, default=0) <= 255 else np.uint16


def _with_background(objects: Float[Tensor, "1 o y x"]) -> Float[Tensor, "1 o1 y x"]:
    return torch.cat([_background(objects), objects], dim=1)


def _background(objects: Float[Tensor, "1 o y x"]) -> Float[Tensor, "1 1 y x"]:
    return (1 - objects.sum(dim=1, keepdim=True)).clamp(0, 1)


def _size(shape: np.ndarray | tuple[int, ...]) -> str:
    y, x = (shape.shape if isinstance(shape, np.ndarray) else shape)[:2]
    return f"{y}x{x} (height x width)"
