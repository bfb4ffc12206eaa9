"""Learning to embed and decode masks: the segmentation half of Mask-VOS."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.ops import masks as mask_ops
from selfvos.ops.matched import matched
from selfvos.ops.perturbations import perturb
from selfvos.ops.propagation import dense_affinity, propagate
from selfvos.ops.whitening import WhitenConfig, fit_whitening
from selfvos.types import LossTerms, MaskContext, SegmenterLike

_ABSENT = -30.0
"""Logit of an object that a clip does not have."""


@dataclass(frozen=True, kw_only=True)
class LSegConfig:
    """How clips are segmented while training."""

    objects: int = 2
    """Objects told apart in a clip; labels above it are background."""
    frames: int = 3
    """Frames used: the first is memory, each later one is predicted and then written into memory."""
    rounds: int = 1
    """Decode rounds; the loss is taken after every round and averaged."""
    temperature: float = 0.05
    """Softmax temperature of the affinity, unitless."""
    feature: str = "key"
    """What is matched: ``key``, a stage of the backbone such as ``layer3``, or several joined by +, of unit length."""
    whiten: WhitenConfig | None = None
    """Whiten what is matched, by its statistics in each clip's first frame, as in tracking; None: it stays as it is."""
    top_k: int = 0
    """Matches of each cell that count, as in tracking; 0: all."""
    own_memory: bool = False
    """Remember what was predicted for later frames, as in tracking, instead of their pseudo masks."""
    perturb: float = 0.0
    """Share of the objects that memory shows with a flaw, a side missing or too much, in [0, 1]."""
    perturbed: Literal["first", "later"] = "first"
    """Which of memory's masks have them: the first one, or those after it, as in tracking, where the first is true."""

    def __post_init__(self) -> None:
        if self.objects < 1 or self.frames < 2 or self.rounds < 1:
            raise UsageError("l_seg needs at least 1 object, 2 frames and 1 round")
        if self.top_k < 0:
            raise UsageError(f"l_seg: top_k must be at least 0, got {self.top_k}")
        if not 0 <= self.perturb <= 1:
            raise UsageError(f"l_seg: perturb must be in [0, 1], got {self.perturb}")
        if self.perturbed not in ("first", "later"):
            raise UsageError(f"l_seg: perturbed must be first or later, got {self.perturbed!r}")


def segmentation_loss(
    logits: Float[Tensor, "b o y x"], labels: Int64[Tensor, "b y x"], present: Bool[Tensor, "b o"]
) -> Float[Tensor, ""]:
    """Score mask logits against labels: pixel cross-entropy after soft aggregation.

    Args:
        logits: One map per object.
        labels: 0 for background, 1..o for objects.
        present: Which objects a clip has; the others do not compete, and a clip without any is left out.

    Returns:
        Mean over the pixels of clips with objects, in nats; 0 when there is none.

    Source:
        Mask-VOS, L_seg as in the released code, without its disabled bootstrapping. Departure: probabilities are not
        kept within 1e-7 of 0 and 1, as logarithms stay finite without.
    """
    return pixel_loss(compete(logits, present), labels, present)


def pixel_loss(
    scores: Float[Tensor, "b o1 y x"], labels: Int64[Tensor, "b y x"], present: Bool[Tensor, "b o"]
) -> Float[Tensor, ""]:
    """Score log-probabilities, background first, against labels; see `segmentation_loss`."""
    loss = -scores.gather(1, labels[:, None])[:, 0].mean(dim=(1, 2))
    counts = present.any(dim=1).float()
    return (loss * counts).sum() / counts.sum().clamp_min(1)


def decoded(
    model: SegmenterLike, masks: Float[Tensor, "b o1 y x"], logits: Float[Tensor, "b o y x"], present: Tensor
) -> Float[Tensor, "b o1 y x"]:
    """Return the log-probabilities that D's output makes of coarse masks, background first.

    Args:
        model: Says whether D corrects masks or replaces them.
        masks: What was decoded, background first.
        logits: D's output.
        present: Objects that each clip has; the others take no part.
    """
    if not model.corrects_masks:
        return compete(logits, present)
    return mask_ops.correct(masks, logits.masked_fill(~present[:, :, None, None], _ABSENT))


def compete(logits: Float[Tensor, "b o y x"], present: Bool[Tensor, "b o"]) -> Float[Tensor, "b o1 y x"]:
    """Return log-probabilities after soft aggregation, background first; objects that are not present take no part."""
    return mask_ops.log_aggregate(logits.float().masked_fill(~present[:, :, None, None], _ABSENT))


def with_perturbations(
    masks: Float[Tensor, "b o1 y x"], share: float, generator: torch.Generator
) -> Float[Tensor, "b o1 y x"]:
    """Give a share of the objects a flaw, see `perturb`; where there is none, probabilities stay as they are."""
    objects = masks.shape[1] - 1
    labels = masks.argmax(dim=1)
    flawed = perturb(labels, objects, share, generator)
    return torch.where((flawed != labels)[:, None], mask_ops.one_hot(flawed, objects), masks)


def clip_labels(clip: EncodedClip, name: str, *, frames: int, objects: int) -> Int64[Tensor, "b t y x"]:
    """Return the labels of a clip's first frames, those above `objects` as background.

    Args:
        clip: What is learned from.
        name: Of the objective, for messages.
        frames: How many frames are used.
        objects: Largest label.

    Raises:
        ValueError: Too few frames, or no masks.
    """
    masks = clip.clip.masks
    if clip.frames.shape[1] < frames:
        raise ValueError(f"{name} needs clips of at least {frames} frames, got {clip.frames.shape[1]}")
    if masks is None:
        raise ValueError(f"{name} learns from pseudo masks, and this clip has none")
    return masks[:, :frames].where(masks[:, :frames] <= objects, 0)


@OBJECTIVES.register("l_seg")
class LSeg(Objective):
    """Predict each frame's pseudo mask from the frames before it, by default teacher-forced.

    Source:
        Mask-VOS, L_seg: dense affinity over all memory cells, read-out of mask embeddings, coarse mask by warping,
        V on the coarse mask, D. Departures: the coarse mask stays soft and is detached, as in inference (the
        released code makes it hard); frames keep their order.
    """

    Config = LSegConfig
    needs_masks = True
    config: LSegConfig

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Return the mean loss over predicted frames and rounds."""
        used = self.config.frames
        labels = clip_labels(clip, "l_seg", frames=used, objects=self.config.objects)
        present = present_objects(labels[:, 0], self.config.objects)
        memory = _Memory(self.config.temperature, self.config.top_k)
        keys = self._keys(clip)
        losses: list[Tensor] = []
        for t in range(used):
            context = clip.model.prepare_masks(clip.frames[:, t], clip.features(t))
            known = mask_ops.one_hot(labels[:, t], self.config.objects)
            if t:
                found, guess = self._predict(clip, memory, context, keys[t], labels[:, t], present)
                losses += found
                known = guess.detach() if self.config.own_memory else known
            if t + 1 < used:
                if self.config.perturb and (t > 0) == (self.config.perturbed == "later"):
                    known = with_perturbations(known, self.config.perturb, generator)
                memory.write(keys[t], known, clip.model.encode_masks(context, known[:, 1:]))
        loss = torch.stack(losses).mean()
        return LossTerms(total=loss, parts={"l_seg": loss.detach()})

    def _keys(self, clip: EncodedClip) -> list[Float[Tensor, "b c h w"]]:
        keys = [matched(clip.features(t), self.config.feature) for t in range(self.config.frames)]
        if self.config.whiten is None:
            return keys
        fitted = [fit_whitening(first.detach().movedim(0, -1), self.config.whiten) for first in keys[0]]
        return [
            torch.stack(
                [whiten(cells.movedim(0, -1)).movedim(-1, 0) for whiten, cells in zip(fitted, key, strict=True)]
            )
            for key in keys
        ]

    def _predict(
        self,
        clip: EncodedClip,
        memory: "_Memory",
        context: MaskContext,
        key: Tensor,
        labels: Tensor,
        present: Tensor,
    ) -> tuple[list[Tensor], Tensor]:
        values_read, coarse = memory.readout(key)
        guess = mask_ops.to_pixels(coarse, clip.frames.shape[-1] // coarse.shape[-1])
        losses = []
        for _ in range(self.config.rounds):
            values = clip.model.encode_masks(context, guess[:, 1:].detach())
            logits = clip.model.decode_masks(context, values_read, values)
            scores = decoded(clip.model, guess.detach(), logits, present)
            losses.append(pixel_loss(scores, labels, present))
            guess = scores.exp()
        return losses, guess


class _Memory:
    """Everything written so far, as flat cells."""

    def __init__(self, temperature: float, top_k: int) -> None:
        self._temperature, self._top_k = temperature, top_k
        self._keys: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._values: list[Tensor] = []

    def write(self, key: Tensor, masks: Tensor, values: Tensor) -> None:
        stride = masks.shape[-1] // key.shape[-1]
        self._keys.append(key.flatten(2))
        self._labels.append(mask_ops.to_cells(masks, stride).flatten(2)[..., None])
        self._values.append(values.flatten(3).mT)

    def readout(self, key: Tensor) -> tuple[Float[Tensor, "b o v h w"], Float[Tensor, "b o1 h w"]]:
        h, w = key.shape[-2:]
        affinity = dense_affinity(key.flatten(2), torch.cat(self._keys, dim=2), self._temperature, top_k=self._top_k)
        values = propagate(affinity, torch.cat(self._values, dim=2).float())
        coarse = propagate(affinity.detach(), torch.cat(self._labels, dim=2))
        return values.mT.unflatten(-1, (h, w)), coarse[..., 0].unflatten(-1, (h, w))


def present_objects(first: Int64[Tensor, "b y x"], objects: int) -> Bool[Tensor, "b o"]:
    """Return which of the labels 1..`objects` each clip's first frame shows."""
    return torch.stack([(first == o).flatten(1).any(dim=1) for o in range(1, objects + 1)], dim=1)
