"""First masks from nobody: the space-time clusters of a video that look like things."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch.nn import functional as F

from selfvos.data.source import Source, open_source
from selfvos.errors import BrokenVideo, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.ops.clustering import ClusterConfig, cluster_video, seed_for
from selfvos.ops.guided_filter import filter_labels
from selfvos.ops.matched import check_matched
from selfvos.ops.objectness import Objectness, things
from selfvos.ops.pseudo_objects import clean
from selfvos.training.pseudo_masks import encode_pictures
from selfvos.types import Watch, go_on, ignore


@dataclass(frozen=True, kw_only=True)
class DiscoveryConfig:
    """How objects are found."""

    frames: int = 12
    """Frames that are clustered together, from the one that the mask is for."""
    every: int = 2
    """One frame of so many is taken, where the video is long enough."""
    short_side_px: int = 320
    """Frames are encoded at this size."""
    clusters: ClusterConfig = field(default_factory=lambda: ClusterConfig(clusters=8, fit_every=1))
    objects: Objectness = field(default_factory=Objectness)
    """Which clusters are objects."""
    edge_px: int = 12
    """Outlines move to edges of the picture that are no further off than about this; 0: they end at cells."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1 or self.every < 1:
            raise UsageError(f"discovery needs at least one frame of every one, got {self.frames} of {self.every}")


@dataclass(frozen=True)
class Discovered:
    """What was found."""

    mask: UInt8[np.ndarray, "y x"]
    """Object ids in the frame that was asked for, best first, 0 for background."""
    objects: int
    """How many there are."""


def discover(
    model: Segmenter,
    video: str | Path | Source,
    *,
    frame: int = 0,
    config: DiscoveryConfig | None = None,
    watch: Watch = ignore,
) -> Discovered:
    """Find objects without any mask: cluster some frames in space and time, and keep what does not look like scenery.

    Args:
        model: A loaded network.
        video: A video file, a folder of pictures, or what `open_source` gave.
        frame: The frame that the mask is for, from 0.
        config: How to look.
        watch: Asked between frames.

    Raises:
        BrokenVideo: There is no such frame, or nothing in it looks like an object.
        Stopped: The watch asked.
    """
    config = config or DiscoveryConfig()
    source = video if isinstance(video, Source) else open_source(video)
    feature = model.notes.track.get("feature", {}).get("stage", "key")
    check_matched(feature, model.encoder.backbone.channels)
    pictures = _pictures(source, frame, config, watch)
    if not pictures:
        raise BrokenVideo(f"{source.name} has no frame {frame} to find objects in")
    features = encode_pictures(model, pictures, feature=feature, short_side_px=config.short_side_px)
    maps, centroids = cluster_video(features, config.clusters, seed_for(config.seed, source.name, 0))
    cells = things(clean(maps.cpu(), len(centroids)).numpy(), config.objects)
    mask = _drawn(pictures[0], cells[0], config.edge_px)
    if not mask.any():
        raise BrokenVideo(f"nothing in frame {frame} of {source.name} looks like an object; draw a mask")
    # What is seen in later frames alone leaves a gap in the numbers.
    ids = np.unique(mask[mask > 0])
    table = np.zeros(256, np.uint8)
    table[ids] = np.arange(1, len(ids) + 1)
    return Discovered(table[mask], len(ids))


def _pictures(source: Source, frame: int, config: DiscoveryConfig, watch: Watch) -> list[np.ndarray]:
    every = config.every
    if source.count is not None:
        every = max(1, min(every, (source.count - frame) // config.frames))
    pictures = []
    for one in source.frames(frame, None, every):
        go_on(watch)
        pictures.append(one.rgb)
        if len(pictures) == config.frames:
            break
    return pictures


def _drawn(
    picture: UInt8[np.ndarray, "y x 3"], cells: UInt8[np.ndarray, "h w"], edge_px: int
) -> UInt8[np.ndarray, "y x"]:
    """Return the objects of cells at the size of their picture."""
    kinds = int(cells.max()) + 1
    soft = F.one_hot(torch.from_numpy(cells).long(), kinds).movedim(-1, 0)[None].float()
    labels = F.interpolate(soft, size=picture.shape[:2], mode="bilinear", align_corners=False).argmax(dim=1)
    if edge_px and min(picture.shape[:2]) > 2 * edge_px:
        rgb = torch.from_numpy(picture.copy()).movedim(-1, 0)[None].float() / 255
        labels = filter_labels(rgb, labels, radius_px=edge_px)
    return labels[0].to(torch.uint8).numpy()
