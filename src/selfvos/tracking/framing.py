"""From a video frame to what the network sees, and back."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor
from torch.nn import functional as F

Ids = Integer[np.ndarray, "y x"]


@dataclass(frozen=True)
class Framing:
    """Sizes of one video: native, resized, and padded to the stride."""

    native: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def fit(
        cls, native: tuple[int, int], *, short_side_px: int, stride: int, size_px: tuple[int, int] | None = None
    ) -> "Framing":
        """Scale the shorter side to `short_side_px`, then pad both sides up to multiples of the stride.

        Args:
            native: Height and width of the video.
            short_side_px: Height or width to track at, whichever is the shorter.
            stride: Pixels per feature cell.
            size_px: Height and width to track at instead, whatever the shape of the video.
        """
        scale = short_side_px / min(native)
        resized = size_px or (max(1, round(native[0] * scale)), max(1, round(native[1] * scale)))
        padded = (-(-resized[0] // stride) * stride, -(-resized[1] // stride) * stride)
        return cls(native=native, resized=resized, padded=padded)

    def frame(self, rgb: UInt8[np.ndarray, "y x 3"], device: torch.device) -> Float[Tensor, "1 3 y2 x2"]:
        """Return a frame as RGB in [0, 1], resized (bicubic) and padded by repeating the border.

        Departure from the released code, which pads with the mean colour: that would put an edge into the picture.
        """
        x = torch.from_numpy(np.require(rgb, requirements=["C", "W"])).to(device).permute(2, 0, 1)[None].float() / 255
        if self.resized != self.native:
            x = F.interpolate(x, size=self.resized, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        return self._pad(x)

    def objects(self, mask: Ids, ids: list[int], device: torch.device) -> Float[Tensor, "1 o y2 x2"]:
        """Return one map in [0, 1] for each id, resized and padded like the frame."""
        drawn = np.stack([mask == i for i in ids]) if ids else np.zeros((0, *mask.shape), dtype=bool)
        return self.maps(torch.from_numpy(drawn).to(device)[None].float())

    def maps(self, maps: Float[Tensor, "1 o y x"]) -> Float[Tensor, "1 o y2 x2"]:
        """Return maps of native size, resized and padded like the frame."""
        if not maps.shape[1]:
            return maps.new_zeros(1, 0, *self.padded)
        if self.resized != self.native:
            maps = F.interpolate(maps, size=self.resized, mode="bilinear", align_corners=False, antialias=True)
        return self._pad(maps)

    def nearest(self, ids: Integer[np.ndarray, "_y _x"]) -> Integer[np.ndarray, "y2 x2"]:
        """Return labels of any size at native size: each pixel takes the label that its centre falls on."""
        places = ((np.arange(n) + 0.5) * (m / n) for n, m in zip(self.native, ids.shape, strict=True))
        rows, columns = (place.astype(np.int64) for place in places)
        return ids[rows[:, None], columns]

    def _pad(self, x: Tensor) -> Tensor:
        bottom, right = self.padded[0] - self.resized[0], self.padded[1] - self.resized[1]
        return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
