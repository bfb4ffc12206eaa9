"""Frame in, points out: label propagation of single points, such as the joints of a body."""

import math

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import DataError, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.ops.label_map import native_maps
from selfvos.tracking.encoding import FrameEncoding
from selfvos.tracking.feature import MatchedFeature
from selfvos.tracking.framing import Framing
from selfvos.tracking.labels import empty_memory
from selfvos.tracking.memory import Entry
from selfvos.tracking.propagation import propagation
from selfvos.tracking.recommendation import recommended
from selfvos.tracking.settings import TrackConfig

Points = Float64[np.ndarray, "j 2"]
"""Place (x, y) of each point in pixels of the video, 0-based; NaN where it is missing."""


class PointTracker:
    """Follows points through a video of any length, one frame at a time: ``start``, then ``step``.

    Source:
        Jabri et al. 2020 (CRW), pose propagation, with the sizes of its public code: a Gaussian per point is warped
        like the label of an object and read out as the weighted mean of its strongest places. With ``points.grid``
        ``pixels`` as in the public code of Spa-then-Temp: drawn and read at native size. Departure: no background
        map is carried, since every map is carried by itself.
    """

    def __init__(self, model: Segmenter, config: TrackConfig | None = None) -> None:
        """Make a tracker.

        Args:
            model: Network in evaluation mode; its mask path, if any, is not used.
            config: Settings; by default those that the weights recommend. ``refine.rounds`` has to be 0 in them, or the
                network without a mask path, for which it is.

        Raises:
            UsageError: Refinement is asked for, or the network has no such feature.
        """
        self.config = config or recommended(model)
        if rounds := self.config.refine.rounds:
            raise UsageError(f"points are followed without refinement: set refine.rounds to 0, got {rounds}")
        self._encoding = FrameEncoding(model, self.config.frame)
        self._feature = MatchedFeature(self._encoding.network, self.config)
        self.precision = self._encoding.precision
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""
        self._framing: Framing | None = None
        self._memory = empty_memory(self.config)

    @torch.inference_mode()
    def start(self, frame: UInt8[np.ndarray, "y x 3"], points: Points) -> Points:
        """Begin a video: forget everything, learn where its points are.

        Args:
            frame: RGB.
            points: Their places in this frame.

        Returns:
            The same places; NaN for what lies outside the frame and so cannot be followed.

        Raises:
            DataError: No point lies in the frame.
        """
        framing = self._encoding.fit(frame)
        encoded = self._encoding.encode(frame, framing)
        self._feature.begin(encoded)
        key = self._feature.key(encoded)
        drawn = self._draw(points, framing, (key.shape[0], key.shape[1])).to(key.device)
        seen = drawn.flatten(1).sum(dim=1).cpu().numpy() > 0
        if not seen.any():
            raise DataError("none of the points lies in the first frame; give their x and y in its pixels")
        self._framing, self._memory = framing, empty_memory(self.config)
        self._memory.keep(Entry(key=key, labels=drawn.flatten(1).T, values=None), given=True)
        return np.where(seen[:, None], points, np.nan)

    @torch.inference_mode()
    def step(self, frame: UInt8[np.ndarray, "y x 3"]) -> Points:
        """Follow all points into the next frame.

        Args:
            frame: RGB, as large as the first.

        Returns:
            The place of each point; NaN where nothing of it is left.

        Raises:
            UsageError: `start` has not been called.
            DataError: The frame has another size than the first.
        """
        framing = self._framing
        if framing is None:
            raise UsageError("the tracker has no first points yet; call start(frame, points) before")
        if frame.shape[:2] != framing.native:
            came, needed = (f"{y}x{x}" for y, x in (frame.shape[:2], framing.native))
            raise DataError(f"frame is {came} (height x width), the first one was {needed}; start a new video")
        key = self._feature.key(self._encoding.encode(frame, framing))
        labels = propagation(key, self._memory, self.config).carry(self._memory.labels)
        self._memory.keep(Entry(key=key, labels=labels, values=None))
        return self._read_out(labels.T.unflatten(1, key.shape[:2]), framing)

    def _draw(self, points: Points, framing: Framing, cells: tuple[int, int]) -> Float[Tensor, "j h w"]:
        sigma = self.config.points.sigma
        if self.config.points.grid == "cells":
            return draw_points(points / self._cell_px(framing), cells, sigma)
        maps = framing.maps(draw_points(points, framing.native, sigma)[None])
        # Not averaged over cells: Spa-then-Temp interpolates here as well.
        return F.interpolate(maps, size=cells, mode="bilinear", align_corners=False)[0]

    def _read_out(self, maps: Float[Tensor, "j h w"], framing: Framing) -> Points:
        if self.config.points.grid == "cells":
            return read_points(maps, self.config.points.top) * self._cell_px(framing)
        stride = float(self._feature.stride)
        maps = native_maps(maps, stride=stride, resized=framing.resized, native=framing.native)
        return read_points(maps, self.config.points.top)

    def _cell_px(self, framing: Framing) -> Float64[np.ndarray, "2"]:
        """Return the width and height of a feature cell in native pixels."""
        (height, width), (tall, wide) = framing.native, framing.resized
        return np.array([width / wide, height / tall]) * self._feature.stride


def draw_points(points: Points, size: tuple[int, int], sigma: float) -> Float[Tensor, "j y x"]:
    """Draw each point as a Gaussian with peak 1.

    Args:
        points: Their places, in steps of the map; a missing one leaves its map empty.
        size: Height and width of the maps.
        sigma: Spread, in steps of the map, > 0.

    Returns:
        One map for each point, 0 farther than about 3 `sigma` away; empty where the point is far outside.

    Source:
        Public code of CRW and Spa-then-Temp: the peak is on a whole place (the nearest for sigma 0.5, the one below
        for sigma 4) in a square of 6 sigma + 1 places. Departure: near the top and left edge their code rounds
        towards 0, which moves the peak there.
    """
    maps = torch.zeros(len(points), *size, dtype=torch.float64)
    for j, (x, y) in enumerate(points.tolist()):
        if math.isfinite(x) and math.isfinite(y):
            maps[j] = torch.outer(_bump(y, size[0], sigma), _bump(x, size[1], sigma))
    return maps.float()


def read_points(maps: Float[Tensor, "j y x"], top: int) -> Points:
    """Return the mean place of the strongest places of each map, weighted by their values.

    Args:
        maps: Values of at least 0.
        top: How many places, at least 1.

    Returns:
        (x, y) in steps of the map; NaN where a map is empty.
    """
    width = maps.shape[2]
    value, place = maps.double().flatten(1).topk(min(top, maps[0].numel()), dim=1)
    weight = value / value.sum(dim=1, keepdim=True)  # an empty map gives 0 / 0
    x, y = (weight * (place % width)).sum(dim=1), (weight * (place // width)).sum(dim=1)
    return torch.stack([x, y], dim=1).cpu().numpy()


def _bump(place: float, count: int, sigma: float) -> Float[Tensor, " count"]:
    size = math.ceil(6 * sigma + 1)
    first = math.floor(place - 3 * sigma)
    offset = torch.arange(count, dtype=torch.float64) - (first + int((6 * sigma + 1) // 2))
    at = torch.arange(count) - first
    return torch.exp(-(offset**2) / (2 * sigma**2)) * ((at >= 0) & (at < size))
