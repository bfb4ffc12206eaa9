"""Rounds of pseudo masks: features of whole frame_ranges of video, clustered, kept on disk until the next round."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.data.clips import ClipPlan, FrameRange
from selfvos.data.video_cache import CachedVideo, VideoCache
from selfvos.models.precision import autocast
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.ops.clustering import cluster_video, seed_for
from selfvos.ops.matched import matched
from selfvos.ops.pseudo_objects import clean
from selfvos.storage import atomic_path
from selfvos.training.settings import PseudoMaskConfig
from selfvos.types import Progress, nobody

log = logging.getLogger(__name__)

_BATCH = 8


@dataclass(frozen=True)
class PseudoMasks:
    """One round: where the cluster maps of each range lie."""

    folder: Path
    frame_ranges: tuple[FrameRange, ...]
    names: tuple[str, ...]
    """Video name by index in the video_cache."""

    def maps(self, frame_range: FrameRange) -> UInt8[np.ndarray, "t h w"]:
        """Return the cluster maps of all frames of a frame_range."""
        with np.load(_file(self.folder, self.names[frame_range.video])) as stored:
            return stored["maps"]

    def for_clip(self, plan: ClipPlan) -> UInt8[np.ndarray, "t h w"]:
        """Return the cluster maps of one planned clip's frames."""
        frame_range = next(s for s in self.frame_ranges if s.video == plan.video)
        return self.maps(frame_range)[[i - frame_range.start for i in plan.frames]]


@torch.inference_mode()
def encode_range(
    model: Segmenter,
    cached: CachedVideo,
    frames: Sequence[int],
    *,
    feature: str,
    short_side_px: int,
    precision: str = "float32",
) -> Float[Tensor, "t h w c"]:
    """Return unit-length features of some frames of a packed video.

    Both sides are brought to multiples of the stride, so that the cells cover the frame exactly.
    """
    scale = short_side_px / min(cached.height, cached.width)
    size = [max(1, round(side * scale / model.stride)) * model.stride for side in (cached.height, cached.width)]
    parts = []
    for start in range(0, len(frames), _BATCH):
        pixels = np.stack([cached.frame(i) for i in frames[start : start + _BATCH]])
        x = torch.from_numpy(pixels).to(model.device).movedim(-1, 1).float() / 255
        if list(x.shape[-2:]) != size:
            x = F.interpolate(x, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        with autocast(precision, model.device):
            features = model.encode_frame(x)
        parts.append(matched(features, feature).movedim(1, -1))
    return torch.cat(parts)


def choose_ranges(
    usable: Sequence[FrameRange], config: PseudoMaskConfig, *, seed: int, round: int
) -> tuple[FrameRange, ...]:
    """Choose what is clustered in a round: all, or as many videos and frames as the settings allow, drawn anew."""
    draw = np.random.default_rng([seed, 2, round])
    count = min(config.max_videos or len(usable), len(usable))
    chosen = sorted(draw.choice(len(usable), size=count, replace=False))
    result = []
    for i in chosen:
        frame_range = usable[i]
        length = min(config.max_frames or frame_range.length, frame_range.length)
        start = frame_range.start + int(draw.integers(frame_range.length - length + 1))
        result.append(FrameRange(frame_range.video, start, length))
    return tuple(result)


def refresh(
    model: Segmenter,
    video_cache: VideoCache,
    usable: Sequence[FrameRange],
    config: PseudoMaskConfig,
    store: Path,
    *,
    seed: int,
    round: int,
    share: Callable[[Sequence[FrameRange]], Sequence[FrameRange]] = list,
    precision: str = "float32",
    progress: Progress = nobody,
) -> PseudoMasks:
    """Cluster every chosen range with the network as it is now; what the store holds already is not redone.

    Maps are keyed by video, round and the digest of the weights, so an interrupted pass goes on where it stopped
    and maps of other weights are never mixed in.

    Args:
        model: The network; its mode is kept.
        video_cache: The videos.
        usable: Where clips may come from.
        config: What to cluster and how.
        store: Folder of all rounds.
        seed: Seed of the run.
        round: How often pseudo masks were made before.
        share: Picks the frame_ranges that this process works on.
        precision: Of the network's forward pass.
        progress: Called with frame_ranges done and frame_ranges in all (of this process).
    """
    chosen = choose_ranges(usable, config, seed=seed, round=round)
    names = tuple(cached.name for cached in video_cache.videos)
    result = PseudoMasks(store / f"round-{round:03d}-{digest(model.state_dict())[:12]}", chosen, names)
    mine = share(chosen)
    was_training = model.training
    model.eval()
    for done, frame_range in enumerate(mine, start=1):
        path = _file(result.folder, names[frame_range.video])
        if not path.exists():
            cached = video_cache.videos[frame_range.video]
            frames = range(frame_range.start, frame_range.start + frame_range.length)
            features = encode_range(
                model, cached, frames, feature=config.feature, short_side_px=config.short_side_px, precision=precision
            )
            maps, centroids = cluster_video(features, config.clusters, seed_for(seed, cached.name, round))
            if len(centroids) < config.clusters.clusters:
                log.info("%s: %d of %d clusters found", cached.name, len(centroids), config.clusters.clusters)
            maps = clean(maps.cpu(), len(centroids))
            with atomic_path(path) as temporary:
                np.savez_compressed(temporary, maps=maps.numpy())
        progress(done, len(mine))
    model.train(was_training)
    return result


def _file(folder: Path, name: str) -> Path:
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"
