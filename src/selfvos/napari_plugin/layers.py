"""What layers of napari hold, as frames and masks, and back; knows nothing of napari or Qt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Integer, UInt8

from selfvos import api
from selfvos.errors import DataError, MaskMismatch
from selfvos.types import Watch, ignore


class LayerFrames(Sequence[np.ndarray]):
    """The frames of an image layer as RGB, each made when it is asked for: what is tracked is what the layer shows.

    Of a lazy array, such as one of dask or zarr, only the frame asked for is read.
    """

    def __init__(self, data: Any, limits: tuple[float, float], *, rgb: bool = False) -> None:
        """Look at the shape.

        Args:
            data: t y x, or t y x 3 or 4 where `rgb` is set.
            limits: Values that are shown black and white.
            rgb: Whether the last axis is colour.

        Raises:
            DataError: It is no sequence of pictures.
        """
        axes = 4 if rgb else 3
        if np.ndim(data) != axes:
            shape = " x ".join(map(str, np.shape(data)))
            raise DataError(f"the image is {shape}; tracking needs frames (t, y, x): pick one channel and one plane")
        self._data, self._rgb = data, rgb
        self._low, self._high = float(limits[0]), float(limits[1])
        self.size: tuple[int, int] = (int(data.shape[1]), int(data.shape[2]))
        """Height and width."""

    def __len__(self) -> int:
        return int(self._data.shape[0])

    def __getitem__(self, index: Any) -> UInt8[np.ndarray, "y x 3"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return one frame."""
        if not isinstance(index, int | np.integer):
            raise TypeError("frames are asked for one at a time")
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        seen = np.asarray(self._data[int(index)])
        seen = seen[..., :3] if self._rgb else seen[..., None].repeat(3, axis=-1)
        if seen.dtype == np.uint8 and (self._rgb or (self._low, self._high) == (0, 255)):
            return np.ascontiguousarray(seen)
        low, high = (0.0, 1.0) if self._rgb else (self._low, self._high)
        shown = (seen.astype(np.float32) - low) / max(high - low, 1e-12)
        return (np.nan_to_num(shown).clip(0, 1) * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be tracked: from a frame with its labels, to the end or back to the beginning."""

    frames: LayerFrames
    frame: int
    labels: Integer[np.ndarray, "_ _"]
    """Ids of `frame`, 0 for background."""
    direction: Literal["forward", "backward"] = "forward"
    weights: str = "default"
    quality: str = "balanced"
    """Taken where the weights know it."""

    def __post_init__(self) -> None:
        if self.labels.shape != self.frames.size:
            came, wanted = (f"{y} x {x}" for y, x in (self.labels.shape, self.frames.size))
            raise MaskMismatch(f"the labels are {came}, the image is {wanted}; make a labels layer of the image's size")
        if not self.labels.any():
            raise MaskMismatch(f"nothing is labelled on frame {self.frame}; go to a frame with labels, or draw there")

    def __len__(self) -> int:
        return len(self.frames) - self.frame if self.direction == "forward" else self.frame + 1


def labels_of(data: Any, frame: int, count: int) -> Integer[np.ndarray, "_ _"]:
    """Return the labels of one frame, of a layer that holds all frames (t y x) or that one alone (y x).

    Raises:
        MaskMismatch: It has another number of frames than the image, or other axes.
    """
    if np.ndim(data) == 2:
        return np.asarray(data)
    if np.ndim(data) != 3 or len(data) != count:
        shape = " x ".join(map(str, np.shape(data)))
        raise MaskMismatch(f"the labels are {shape}, the image has {count} frames; make a labels layer of its size")
    return np.asarray(data[frame])


def follow(request: Request, watch: Watch = ignore) -> Iterator[tuple[int, np.ndarray]]:
    """Yield index and labels of each frame, beginning with the one that was given.

    Raises:
        UsageError: No such weights.
        MaskMismatch: Ids out of range.
        Stopped: The watch asked for it.
    """
    model = _loaded(request.weights)
    config = api.track_config(model, None, request.quality if model.notes.quality else None)
    span = api.Span(start=request.frame, direction=request.direction)
    masks = {request.frame: np.asarray(request.labels)}
    for tracked in api.track(model, request.frames, masks, span=span, config=config, watch=watch):
        yield tracked.frame.index, tracked.mask


@lru_cache(maxsize=1)
def _loaded(weights: str) -> Any:
    return api.load(weights)
