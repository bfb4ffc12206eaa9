"""Soft masks of which there is nothing where an object is not."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.ops import masks as mask_ops
from selfvos.ops.label_map import Layer
from selfvos.ops.sparse_labels import SparseLabels, cut
from selfvos.tracking.propagator import PRESENT


@dataclass(frozen=True)
class SparseMasks:
    """Soft masks as labels of those cells that show something of them; see `SoftMasks`.

    Whatever is as large as a picture is made when it is asked for, and not kept.
    """

    labels: SparseLabels
    channels: int
    stride: int
    """Pixels of the padded frame per label."""
    feature_grid: tuple[int, int]
    """Rows and columns of cells; the labels of a cell are a square."""
    pixels: None = None

    @property
    def scale(self) -> int:
        """Rows and columns of labels in a cell."""
        return round(self.labels.values.shape[1] ** 0.5)

    @property
    def grid(self) -> tuple[int, int]:
        """See `SoftMasks.grid`."""
        return self.feature_grid[0] * self.scale, self.feature_grid[1] * self.scale

    @property
    def cells(self) -> Float[Tensor, "1 o1 h w"]:
        """See `SoftMasks.cells`."""
        return torch.stack([self.layer(channel).whole(self.grid).values for channel in range(self.channels)])[None]

    def in_pixels(self) -> Float[Tensor, "1 o1 y x"]:
        """See `SoftMasks.in_pixels`."""
        return mask_ops.to_pixels(self.cells, self.stride)

    def layer(self, channel: int) -> Layer:
        """See `SoftMasks.layer`."""
        return self._cut(channel, 1)

    def layer_in_pixels(self, channel: int, margin_px: int = 0) -> Layer:
        """See `SoftMasks.layer_in_pixels`."""
        # Interpolation reaches one label farther.
        layer = self._cut(channel, -(-(margin_px + self.stride) // (self.stride * self.scale)))
        values = mask_ops.to_pixels(layer.values[None, None], self.stride)[0, 0]
        return Layer(channel, values, layer.top * self.stride, layer.left * self.stride)

    def present(self) -> list[int]:
        """See `SoftMasks.present`."""
        shown = (self.labels.values > PRESENT).sum(axis=1)
        return np.bincount(self.labels.channel, shown, self.channels)[1:].astype(int).tolist()

    def _cut(self, channel: int, margin: int) -> Layer:
        values, top, left = cut(self.labels, channel, self.feature_grid, self.scale, margin)
        return Layer(channel, values, top * self.scale, left * self.scale)
