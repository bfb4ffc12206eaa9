"""RGMP (CVPR 2018): segment each frame from the first one and the mask before."""

from dataclasses import dataclass

import torch
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.l_seg import clip_labels, compete, present_objects, segmentation_loss
from selfvos.ops import masks as mask_ops
from selfvos.types import LossTerms


@dataclass(frozen=True, kw_only=True)
class RGMPConfig:
    """How clips are segmented while training."""

    objects: int = 2
    """Objects told apart in a clip; labels above it are background."""
    frames: int = 3
    """Frames used: the first is the reference, each later one is predicted from it and the prediction before."""

    def __post_init__(self) -> None:
        if self.objects < 1 or self.frames < 2:
            raise UsageError("rgmp needs at least 1 object and 2 frames")


@OBJECTIVES.register("rgmp", about="supervised: RGMP, masks from the first frame and the mask before")
class RGMP(Objective):
    """Carry masks from frame to frame beside a look at the first, through all frames.

    Source:
        RGMP (Oh et al. 2018): soft predictions are handed on, and gradients flow back through them. Departures:
        masks may be pseudo masks; objects compete by soft aggregation while training; no pre-training on warped
        pictures; batch normalisation learns.
    """

    Config = RGMPConfig
    needs_masks = True
    system = "rgmp"
    config: RGMPConfig

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:  # noqa: ARG002
        """Return the mean loss over predicted frames."""
        labels = clip_labels(clip, "rgmp", frames=self.config.frames, objects=self.config.objects)
        present = present_objects(labels[:, 0], self.config.objects)
        masks = mask_ops.one_hot(labels[:, 0], self.config.objects)[:, 1:]
        model = clip.model
        reference = model.encode_masks(model.prepare_masks(clip.frames[:, 0], clip.features(0)), masks)
        losses: list[Tensor] = []
        for t in range(1, self.config.frames):
            context = model.prepare_masks(clip.frames[:, t], clip.features(t))
            logits = model.decode_masks(context, reference, model.encode_masks(context, masks))
            losses.append(segmentation_loss(logits, labels[:, t], present))
            masks = compete(logits, present).exp()[:, 1:]
        loss = torch.stack(losses).mean()
        return LossTerms(total=loss, parts={"rgmp": loss.detach()})
