"""Pseudo masks to look at: what a network makes of videos without one label."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from selfvos.data.clips import FrameRange
from selfvos.data.overlay import contact_sheet, overlay, save_image
from selfvos.data.video_cache import CachedVideo, build_video_cache, default_cache
from selfvos.data.video_writer import VideoWriter
from selfvos.models.segmenter import Segmenter
from selfvos.ops.matched import check_matched
from selfvos.training.pseudo_masks import refresh
from selfvos.training.settings import PseudoMaskConfig
from selfvos.types import Progress, nobody

_COLUMNS = 6
_CACHE_SHORT_SIDE = 320
_FPS = 10.0


def cluster(
    model: Segmenter,
    *,
    videos: str | Path | Sequence[str | Path],
    out: str | Path,
    config: PseudoMaskConfig | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Progress = nobody,
) -> list[Path]:
    """Group the pixels of whole videos in space and time and draw the groups.

    Writes, for each video, ``<name>.png`` (a contact sheet of frames above their clusters) and ``<name>.mp4``
    (all frames, tinted). Maps that an earlier call with the same weights left in the folder are used again.

    Args:
        model: A loaded network.
        videos: Folders of videos and of frame folders, or single videos.
        out: Where the pictures go; the maps are kept in ``pseudo_masks`` below it.
        config: How to cluster.
        seed: Seed of the clustering.
        cache: Where decoded videos are kept.
        progress: Called with videos done and videos in all.

    Returns:
        The contact sheets.

    Raises:
        UsageError: The network has no such feature.
        DataError: No usable video.
    """
    config = config or PseudoMaskConfig()
    check_matched(config.feature, model.encoder.backbone.channels)
    roots = [videos] if isinstance(videos, str | Path) else list(videos)
    video_cache = build_video_cache(
        roots, cache=Path(cache) if cache else default_cache(), short_side_px=_CACHE_SHORT_SIDE, min_frames=1
    )
    usable = [FrameRange(v, 0, len(cached)) for v, cached in enumerate(video_cache.videos)]
    out = Path(out)
    made = refresh(model, video_cache, usable, config, out / "pseudo_masks", seed=seed, round=0, progress=progress)
    return [
        _draw(video_cache.videos[frame_range.video], frame_range, made.maps(frame_range), out)
        for frame_range in made.frame_ranges
    ]


def _draw(cached: CachedVideo, frame_range: FrameRange, maps: UInt8[np.ndarray, "t h w"], out: Path) -> Path:
    name = cached.name.replace("/", "__")
    shown = np.unique(np.linspace(0, frame_range.length - 1, _COLUMNS).round().astype(int))
    frames = [cached.frame(frame_range.start + int(i)) for i in shown]
    tinted = [tint(frame, maps[i]) for frame, i in zip(frames, shown, strict=True)]
    sheet = out / f"{name}.png"
    labels = [f"frame {frame_range.start + int(i)}" for i in shown] + [f"{maps.max() + 1} clusters"] * len(shown)
    save_image(sheet, contact_sheet([*frames, *tinted], columns=len(shown), labels=labels))
    with VideoWriter(out / f"{name}.mp4", fps=_FPS) as video:
        for i in range(frame_range.length):
            video.write(tint(cached.frame(frame_range.start + i), maps[i]))
    return sheet


def tint(frame: UInt8[np.ndarray, "y x 3"], cells: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "y x 3"]:
    """Colour a frame by the cluster of each of its cells."""
    y, x = frame.shape[:2]
    h, w = cells.shape
    # Every pixel shows its cell; clusters count from 0, and 0 would stay untinted.
    ids = cells[np.arange(y)[:, None] * h // y, np.arange(x)[None] * w // x] + 1
    return overlay(frame, ids.astype(np.uint8))
