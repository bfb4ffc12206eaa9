"""Learning to mend the masks that tracking arrives at: V and D on coarse masks with the tracker's own errors."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.l_seg import clip_labels, decoded, present_objects, with_perturbations
from selfvos.ops import masks as mask_ops
from selfvos.ops.alignment import shrink
from selfvos.ops.carrying import CarryConfig, carry_labels
from selfvos.ops.evidence import evidence
from selfvos.ops.matched import matched
from selfvos.ops.matching import Matches
from selfvos.ops.propagation import readout
from selfvos.ops.whitening import WhitenConfig, fit_whitening
from selfvos.types import FrameFeatures, LossTerms, SegmenterLike

_GOOD = 0.01
"""Cross-entropy, in nats, below which a mask has little left to be mended."""


@dataclass(frozen=True, kw_only=True)
class LRefineConfig:
    """How clips are tracked before their masks are mended."""

    objects: int = 2
    """Objects told apart in a clip; labels above it are background."""
    frames: int = 3
    """Frames used: the masks of the first are given, those of the others are mended."""
    feature: str = "key"
    """What is matched: see `LSegConfig.feature`."""
    whiten: WhitenConfig | None = None
    """Whiten what is matched, as in tracking; None: it stays as it is."""
    carry: CarryConfig = field(default_factory=CarryConfig)
    """How labels are carried; best as the tracker does it."""
    perturb: float = 0.0
    """Share of the objects that get one more flaw in each frame after the first, remembered with it, in [0, 1]."""

    def __post_init__(self) -> None:
        if self.objects < 1 or self.frames < 2:
            raise UsageError("l_refine needs at least 1 object and 2 frames")
        if not 0 <= self.perturb <= 1:
            raise UsageError(f"l_refine: perturb must be in [0, 1], got {self.perturb}")


@dataclass(frozen=True)
class TrackedClips:
    """Clips and how the tracker's label propagation went through them; without gradient but for the features."""

    frames: Float[Tensor, "b t 3 y x"]
    features: tuple[FrameFeatures, ...]
    """Of each frame of all clips."""
    labels: Int64[Tensor, "b t y x"]
    """What is right."""
    masks: Float[Tensor, "b t o1 h2 w2"]
    """True in the first frame, carried in the others; background first."""
    matches: tuple[tuple[Matches, ...], ...]
    """Of each clip, those of its frames but the first."""


def track_clips(clip: EncodedClip, config: LRefineConfig, generator: torch.Generator) -> TrackedClips:
    """Encode clips and carry their first masks through them.

    Args:
        clip: What is learned from.
        config: How.
        generator: The only source of randomness, on the CPU.

    Raises:
        ValueError: Too few frames, or no masks.
    """
    used = config.frames
    labels = clip_labels(clip, "l_refine", frames=used, objects=config.objects)
    features = tuple(clip.features(t) for t in range(used))
    pixels = clip.frames.shape[-1] // features[0].base.shape[-1] // config.carry.scale
    if pixels < 1:
        raise UsageError(f"l_refine: carry.scale {config.carry.scale} is finer than pixels")
    keys = _keys(features, config)
    masks, matches = [], []
    for b in range(len(labels)):
        first = mask_ops.to_cells(mask_ops.one_hot(labels[b, :1], config.objects), pixels)[0]
        pictures = [shrink(frame[None], pixels) for frame in clip.frames[b, :used]]
        carried = carry_labels(keys[b], pictures, first, config.carry, lambda maps: _flawed(maps, config, generator))
        masks.append(torch.stack([first, *(one.labels for one in carried)]))
        matches.append(tuple(one.matches for one in carried))
    frames = clip.frames[:, :used]
    return TrackedClips(frames, features, labels, torch.stack(masks), tuple(matches))


def mending_loss(model: SegmenterLike, tracked: TrackedClips) -> Float[Tensor, ""]:
    """Score V and D on all frames but the first, each mended from what memory held when it was tracked.

    Frames are mended side by side, for none waits for another's mended mask.

    Returns:
        Mean of `relative_loss`, about 1 as long as nothing is mended; 0 where no clip has objects.
    """
    objects = tracked.masks.shape[2] - 1
    present = present_objects(tracked.labels[:, 0], objects)
    stride = tracked.labels.shape[-1] // tracked.masks.shape[-1]
    values: list[Tensor] = []
    losses = []
    for t, features in enumerate(tracked.features):
        context = model.prepare_masks(tracked.frames[:, t], features)
        masks = mask_ops.to_pixels(tracked.masks[:, t], stride)
        values.append(model.encode_masks(context, masks[:, 1:]))
        if t:
            matches = [found[t - 1] for found in tracked.matches]
            read, seen = _read(torch.stack(values[:t], dim=1), matches), _evidence(matches, values[t])
            logits = model.decode_masks(context.with_evidence(seen), read, values[t])
            after, before = (decoded(model, masks, each, present) for each in (logits, torch.zeros_like(logits)))
            losses.append(relative_loss(after, before, tracked.labels[:, t], present))
    return torch.stack(losses).mean()


def relative_loss(
    after: Float[Tensor, "b o1 y x"],
    before: Float[Tensor, "b o1 y x"],
    labels: Int64[Tensor, "b y x"],
    present: Bool[Tensor, "b o"],
) -> Float[Tensor, ""]:
    """Return what cross-entropy is left of what it was, mean over clips.

    A clip of which half the object was lost has fifty times the wrong pixels of one whose outline is a little off, and
    would be all that is learned from; so each counts alike.

    Args:
        after: Log-probabilities, background first.
        before: The same of the masks that were to be mended.
        labels: What is right.
        present: Objects that each clip has; clips without any are left out.
    """
    left, was = (-each.gather(1, labels[:, None])[:, 0].mean(dim=(1, 2)) for each in (after, before))
    counts = present.any(dim=1).float()
    return (left / (was.detach() + _GOOD) * counts).sum() / counts.sum().clamp_min(1)


@OBJECTIVES.register("l_refine")
class LRefine(Objective):
    """Mend what label propagation makes of a clip's first masks: whole objects, as far as they are to be seen.

    Source:
        This package's own, in the place of `l_seg`. There labels are mixed from all cells, one label a cell, and memory
        holds what is right: masks that V and D never meet in tracking. Here they learn from those that they will meet.
    """

    Config = LRefineConfig
    needs_masks = True
    config: LRefineConfig

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Return the mean loss over all frames but the first."""
        loss = mending_loss(clip.model, track_clips(clip, self.config, generator))
        return LossTerms(total=loss, parts={"l_refine": loss.detach()})


def _keys(features: tuple[FrameFeatures, ...], config: LRefineConfig) -> Float[Tensor, "b t h w c"]:
    maps = torch.stack([matched(one, config.feature).detach() for one in features], dim=1).movedim(2, -1)
    if config.whiten is None:
        return maps.float()
    fitted = [fit_whitening(clip[0].float(), config.whiten) for clip in maps]
    return torch.stack(
        [torch.stack([whiten(cells) for cells in clip.float()]) for whiten, clip in zip(fitted, maps, strict=True)]
    )


def _flawed(
    maps: Float[Tensor, "o1 h w"], config: LRefineConfig, generator: torch.Generator
) -> Float[Tensor, "o1 h w"]:
    return with_perturbations(maps[None], config.perturb, generator)[0] if config.perturb else maps


def _read(values: Float[Tensor, "b t o v h w"], matches: list[Matches]) -> Float[Tensor, "b o v h w"]:
    """Return what memory says of each clip's next frame."""
    rows = values.float().flatten(2, 3).flatten(3).transpose(2, 3).flatten(1, 2)  # b tm ov
    read = [readout(clip, found).T for clip, found in zip(rows, matches, strict=True)]
    return torch.stack(read).reshape(len(values), *values.shape[2:])


def _evidence(matches: list[Matches], values: Float[Tensor, "b o v h w"]) -> Float[Tensor, "b 2 h w"]:
    return torch.stack([evidence(found, (values.shape[-2], values.shape[-1])) for found in matches])
