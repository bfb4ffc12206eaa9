"""STM (ICCV 2019): segment each frame from a memory of the frames before it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.l_seg import clip_labels, compete, present_objects, segmentation_loss
from selfvos.ops import masks as mask_ops
from selfvos.ops.space_time import as_memory, space_time_read
from selfvos.types import LossTerms


@dataclass(frozen=True, kw_only=True)
class STMConfig:
    """How clips are segmented while training."""

    objects: int = 2
    """Objects told apart in a clip; labels above it are background."""
    frames: int = 3
    """Frames used: the first is given, each later one is predicted and then written into memory as predicted."""

    def __post_init__(self) -> None:
        if self.objects < 1 or self.frames < 2:
            raise UsageError("stm needs at least 1 object and 2 frames")


@OBJECTIVES.register("stm", about="supervised: STM, masks from a memory of keys and values")
class STM(Objective):
    """Predict each frame's mask from all frames before it, whose predictions are memory.

    Source:
        STM (Oh et al. 2019), main training: three frames, cross-entropy after soft aggregation. Departures: masks
        may be pseudo masks; frames are those of `ClipConfig`, not spread by a growing number of skipped frames; no
        pre-training on warped pictures; batch normalisation learns.
    """

    Config = STMConfig
    needs_masks = True
    system = "stm"
    config: STMConfig

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:  # noqa: ARG002
        """Return the mean loss over predicted frames."""
        labels = clip_labels(clip, "stm", frames=self.config.frames, objects=self.config.objects)
        present = present_objects(labels[:, 0], self.config.objects)
        masks = mask_ops.one_hot(labels[:, 0], self.config.objects)[:, 1:]
        memory: list[Tensor] = []
        losses: list[Tensor] = []
        for t in range(self.config.frames):
            context = clip.model.prepare_masks(clip.frames[:, t], clip.features(t))
            if t:
                read, own = space_time_read(context.base, torch.cat(memory, dim=-1))
                logits = clip.model.decode_masks(context, read, own)
                losses.append(segmentation_loss(logits, labels[:, t], present))
                masks = compete(logits, present).exp()[:, 1:]
            if t + 1 < self.config.frames:
                memory.append(as_memory(clip.model.encode_masks(context, masks)))
        loss = torch.stack(losses).mean()
        return LossTerms(total=loss, parts={"stm": loss.detach()})
