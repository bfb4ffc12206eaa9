"""RGMP: the frame where an object was drawn, and its mask in the frame before, say where it is."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.models.segmenter import Segmenter
from selfvos.ops.masks import aggregate
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.supervised import SupervisedTracker, require_path
from selfvos.tracking.system import SYSTEMS


@dataclass(frozen=True, kw_only=True)
class RGMPTrackConfig:
    """RGMP has nothing to set."""


@SYSTEMS.register("rgmp", about="supervised: RGMP, the first frame beside the latest mask; wants its weights")
class RGMPTracker(SupervisedTracker):
    """Sees each frame with the latest mask of each object, beside the frame in which it was drawn.

    Source:
        RGMP (Oh et al. 2018), inference, at one scale; objects are joined by soft aggregation.
    """

    name = "rgmp"
    Config = RGMPTrackConfig

    def __init__(self, model: Segmenter, config: TrackConfig | None = None) -> None:
        """Make a tracker from weights that were trained for RGMP."""
        require_path(model, self.name)
        super().__init__(model, config)
        self._forget()

    def _forget(self) -> None:
        self._references: dict[int, Tensor] = {}
        self._masks = torch.zeros(1, 1, 0, 0)

    @torch.inference_mode()
    def _learn(self, image: Float[Tensor, "1 3 y x"], masks: Float[Tensor, "1 o1 y x"], drawn: list[int]) -> None:
        context = self._model.prepare_masks(image, self._eye.features(image))
        for o in drawn:
            self._references[o] = self._model.encode_masks(context, masks[:, 1 + o : 2 + o])
        self._masks = masks

    @torch.inference_mode()
    def _follow(self, image: Float[Tensor, "1 3 y x"]) -> Float[Tensor, "1 o1 y x"]:
        context = self._model.prepare_masks(image, self._eye.features(image))
        logits = []
        for o, reference in sorted(self._references.items()):
            values = self._model.encode_masks(context, self._masks[:, 1 + o : 2 + o])
            logits.append(self._model.decode_masks(context, reference, values))
        self._masks = aggregate(torch.cat(logits, dim=1))
        return self._masks
