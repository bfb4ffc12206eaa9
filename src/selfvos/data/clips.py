"""Which frames of which videos make up a batch, and the batch itself.

Nothing here has a state: the clips of a step follow from the settings, the seed and the step's number, so that an
interrupted run goes on with exactly the clips that it would have seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int32, UInt8

from selfvos.data.photos import PhotoConfig, film
from selfvos.data.video_cache import VideoCache
from selfvos.errors import UsageError
from selfvos.ops.guided_filter import filter_labels
from selfvos.ops.paste import PasteConfig, paste_objects
from selfvos.ops.pseudo_objects import ObjectChoice, choose_objects, known_at_first
from selfvos.ops.warp import CropConfig, crop, crop_labels, sample_crop
from selfvos.types import Clip


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """How videos are cached and clips are drawn."""

    offsets: tuple[int, ...] = (0, 1, 2, 7)
    """Frames of a clip relative to its first, in frames of the training list; squeezed into shorter videos."""
    frame_step: int = 2
    """Video frames per frame of the training list: 2 makes about 7 list frames a second of 15-fps video."""
    crop_px: int = 256
    """Side of the square training crop."""
    crop: CropConfig = field(default_factory=CropConfig)
    """Resizing and mirroring before the crop."""
    cache_short_side_px: int = 320
    """Longest short side kept in the cache."""
    photos: PhotoConfig = field(default_factory=PhotoConfig)
    """Photographs among the videos."""

    def __post_init__(self) -> None:
        if self.offsets[0] != 0 or list(self.offsets) != sorted(set(self.offsets)):
            raise UsageError(f"offsets must rise from 0, got {self.offsets}")
        if self.frame_step < 1:
            raise UsageError(f"frame_step must be at least 1, got {self.frame_step}")


@dataclass(frozen=True)
class FrameRange:
    """The part of a video that clips may come from; a photograph is a range of one frame."""

    video: int
    start: int
    length: int


@dataclass(frozen=True)
class ClipPlan:
    """One clip to be loaded."""

    video: int
    frames: tuple[int, ...]
    film: tuple[int, ...] = ()
    """Seed of what happens to a photograph; empty for a video."""


@dataclass(frozen=True)
class RawClip:
    """One clip as decoded, before cropping."""

    frames: UInt8[np.ndarray, "t y x 3"]
    index: tuple[int, ...]
    maps: UInt8[np.ndarray, "t h w"] | Int32[np.ndarray, "t h w"] | None
    """Cluster maps of the whole frames, at any resolution; negative where nothing can be an object."""


def frame_ranges(video_cache: VideoCache, config: ClipConfig) -> list[FrameRange]:
    """Return the whole of every video that is long enough for a clip; see `photographs`.

    Raises:
        UsageError: None is.
    """
    usable = [FrameRange(v, 0, len(p)) for v, p in enumerate(video_cache.videos) if len(p) >= len(config.offsets)]
    if not usable:
        raise UsageError(f"no video has {len(config.offsets)} frames, as a clip with offsets {config.offsets} needs")
    return usable


def photographs(video_cache: VideoCache) -> list[FrameRange]:
    """Return the photographs."""
    return [FrameRange(v, 0, 1) for v, cached in enumerate(video_cache.videos) if cached.still]


def plan_batch(usable: Sequence[FrameRange], config: ClipConfig, *, seed: int, step: int, batch: int) -> list[ClipPlan]:
    """Choose the clips of one step: every video once before any comes again, and so every photograph.

    Args:
        usable: Where clips may come from.
        config: Offsets and frame step.
        seed: Seed of the phase.
        step: Number of the step in its phase, from 0.
        batch: Clips of the step, over all processes.
    """
    stills = [frame_range for frame_range in usable if frame_range.length == 1]
    videos = [frame_range for frame_range in usable if frame_range.length > 1]
    share = config.photos.share if stills else 0.0
    plans = []
    for position in range(step * batch, (step + 1) * batch):
        draw = np.random.default_rng([seed, 1, position])
        # Photographs come evenly among the videos; how many came before tells which is next.
        before = math.floor(position * share)
        if math.floor((position + 1) * share) > before:
            plans.append(_plan_film(_next(stills, before, [seed, 2]), config, draw))
        else:
            plans.append(_plan_clip(_next(videos, position - before, [seed, 0]), config, draw))
    return plans


def load_clip(
    video_cache: VideoCache,
    plan: ClipPlan,
    maps: UInt8[np.ndarray, "t h w"] | Int32[np.ndarray, "t h w"] | None = None,
    photos: PhotoConfig | None = None,
) -> RawClip:
    """Decode the frames of one planned clip.

    Args:
        video_cache: The videos.
        plan: The clip.
        maps: Cluster maps of these frames.
        photos: How a photograph becomes a clip; by default as `PhotoConfig` says.
    """
    cached = video_cache.videos[plan.video]
    if plan.film:
        return RawClip(film(cached.frame(0), plan.frames, photos or PhotoConfig(), plan.film), plan.frames, maps)
    return RawClip(frames=np.stack([cached.frame(i) for i in plan.frames]), index=plan.frames, maps=maps)


def cut_clip(
    raw: RawClip, config: ClipConfig, choice: ObjectChoice, *, generator: torch.Generator, device: torch.device
) -> Clip:
    """Crop and mirror a decoded clip, on the device, and choose objects where there are cluster maps.

    Args:
        raw: A decoded clip of any size.
        config: Crop size and ranges.
        choice: Which clusters become objects.
        generator: Source of all randomness, on the CPU.
        device: Where the clip shall be.

    Returns:
        A batch of this clip alone; see `finish_batch`.
    """
    size = (config.crop_px, config.crop_px)
    height, width = raw.frames.shape[1:3]
    theta = sample_crop(1, height, width, config.crop_px, generator, config.crop)
    pixels = torch.from_numpy(raw.frames).to(device).movedim(-1, 1)[None].float() / 255
    frames = crop(pixels, theta, size)
    index = torch.tensor([[i // config.frame_step for i in raw.index]])
    if raw.maps is None:
        return Clip(frames=frames, index=index)
    maps = crop_labels(torch.from_numpy(raw.maps).long()[None], theta, size)
    labels = choose_objects(maps[0], choice, generator)[0].to(device)
    if choice.edge_px:
        labels = filter_labels(frames[0], labels, radius_px=choice.edge_px)
    return Clip(frames=frames, index=index, masks=labels[None])


def finish_batch(clip: Clip, choice: ObjectChoice, paste: PasteConfig, *, generator: torch.Generator) -> Clip:
    """Let objects travel between the clips of a batch, and leave out those that a clip's first frame does not show.

    Args:
        clip: All clips of a step.
        choice: As the objects were chosen.
        paste: How objects travel.
        generator: Source of all randomness, on the CPU.
    """
    if clip.masks is None:
        return clip
    frames, labels = paste_objects(clip.frames, clip.masks, paste, generator, label=choice.objects)
    return Clip(frames=frames, index=clip.index, masks=known_at_first(labels))


def join_clips(clips: Sequence[Clip]) -> Clip:
    """Make one batch of several; either all have masks or none has."""
    masks = [clip.masks for clip in clips if clip.masks is not None]
    return Clip(
        frames=torch.cat([clip.frames for clip in clips]),
        index=torch.cat([clip.index for clip in clips]),
        masks=torch.cat(masks) if masks else None,
    )


def _next(ranges: Sequence[FrameRange], count: int, seed: Sequence[int]) -> FrameRange:
    """Return the range that comes after `count` others: all in a random order, then all in another one."""
    epoch, place = divmod(count, len(ranges))
    return ranges[np.random.default_rng([*seed, epoch]).permutation(len(ranges))[place]]


def _plan_film(still: FrameRange, config: ClipConfig, draw: np.random.Generator) -> ClipPlan:
    frames = tuple(offset * config.frame_step for offset in config.offsets)
    return ClipPlan(video=still.video, frames=frames, film=tuple(draw.integers(2**32, size=2).tolist()))


def _plan_clip(frame_range: FrameRange, config: ClipConfig, draw: np.random.Generator) -> ClipPlan:
    # A video too short for the frame step gives up the step first, then the span.
    step = min(config.frame_step, max(1, (frame_range.length - 1) // config.offsets[-1]))
    span = min(config.offsets[-1] * step, frame_range.length - 1)
    squeeze = span / (config.offsets[-1] * step)
    places = [math.floor(offset * step * squeeze) for offset in config.offsets]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + 1)
    start = frame_range.start + int(draw.integers(frame_range.length - places[-1]))
    return ClipPlan(video=frame_range.video, frames=tuple(start + place for place in places))
