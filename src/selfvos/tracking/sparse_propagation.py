"""Label propagation in which an object takes memory and time where it is, not where it is not."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.ops.sparse_labels import (
    LabelledFrames,
    SparseLabels,
    background,
    carried,
    joined,
    object_means,
    of_known,
    rounded,
    sparse,
    stretched,
    together,
    without,
)
from selfvos.tracking.encoding import FrameEncoding
from selfvos.tracking.label_propagation import LabelPropagation
from selfvos.tracking.propagation import Propagation
from selfvos.tracking.propagator import SoftMasks
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.sparse_masks import SparseMasks
from selfvos.tracking.view import View


def fits_sparse(encoding: FrameEncoding, config: TrackConfig) -> bool:
    """Say whether `SparsePropagation` can do what these settings ask: it can do what is recommended, on a CPU."""
    labels = config.labels
    plain = not labels.hard and labels.min_max != "carried" and labels.object_gain == 1
    return plain and labels.align is not None and not config.refine.rounds and encoding.network.device.type == "cpu"


class SparsePropagation(LabelPropagation):
    """Label propagation that keeps of a frame, for each cell, the labels of the objects that it shows something of.

    What is carried is what `LabelPropagation` carries, but for labels being remembered in steps of 1 / 32768.
    """

    def _carried(self, view: View, found: Propagation) -> SparseMasks:
        config, grid = self.config.labels, (view.key.shape[0], view.key.shape[1])
        assert config.align is not None, "labels that are not aligned are carried as whole maps"
        assert view.picture is not None
        assert found.matches is not None
        channels, pictures = self.latest.channels, found.as_matched(self.memory.pictures, 1)
        labels = self._as_matched(self.memory.sparse_labels, found, grid[0] * grid[1])
        memory = LabelledFrames(pictures=pictures, labels=labels, scale=config.scale, channels=channels)
        now = carried(view.picture, memory, found.matches, config.align, config.fuse)
        if self._partial:
            now = of_known(now)
        if config.restore_contrast:
            now = stretched(now, channels, config.lost_below)
        if config.reach_cells is not None:
            now = together(now, self._sparse(self.latest), config.reach_cells, grid, channels)
        gone = self._left(view, lambda: object_means(now, channels - 1, grid))
        return SparseMasks(now if gone is None else without(now, gone), channels, self.label_stride, grid)

    def _as_matched(self, labels: SparseLabels, found: Propagation, cells: int) -> SparseLabels:
        frames = range((len(labels.start) - 1) // cells)
        order = found.as_matched(torch.tensor(frames), 1).tolist()
        if order == list(frames):
            return labels
        return joined([labels.part(slice(place * cells, (place + 1) * cells)) for place in order])

    def _kept(self, given: SoftMasks) -> SparseMasks:
        grid = given.grid[0] // self.config.labels.scale, given.grid[1] // self.config.labels.scale
        return SparseMasks(self._sparse(given), given.channels, self.label_stride, grid)

    def _with_room(self, masks: SoftMasks, objects: int) -> SoftMasks:
        assert isinstance(masks, SparseMasks), "masks are kept as sparse ones"
        return replace(masks, channels=masks.channels + objects)

    def _to_remember(self, masks: SoftMasks) -> SparseLabels:
        return self._sparse(masks)

    def _folded(self, labels: Float[Tensor, "1 o1 h w"] | SparseLabels) -> SparseLabels:
        return rounded(labels if isinstance(labels, SparseLabels) else sparse(labels[0], self.config.labels.scale))

    def _background(self, labels: Float[Tensor, "1 o1 h w"] | SparseLabels, view: View) -> Float[Tensor, "1 1 h w"]:
        if isinstance(labels, SparseLabels):
            return background(labels, (view.key.shape[0], view.key.shape[1]), self.config.labels.scale)
        return labels[:, :1]

    def _sparse(self, masks: SoftMasks) -> SparseLabels:
        return masks.labels if isinstance(masks, SparseMasks) else sparse(masks.cells[0], self.config.labels.scale)
