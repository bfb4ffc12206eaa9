"""Pseudo masks to look at: what a network makes of videos without one label."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from selfvos.api.learning import Videos, open_video_cache
from selfvos.data.clips import FrameRange
from selfvos.data.overlay import contact_sheet, overlay, save_image
from selfvos.data.video_cache import CachedVideo
from selfvos.data.video_writer import VideoWriter
from selfvos.models.segmenter import Segmenter
from selfvos.ops.matched import check_matched
from selfvos.settings import override
from selfvos.training.pseudo_masks import PseudoMaskMaker
from selfvos.training.settings import PseudoMaskConfig
from selfvos.types import Watch, go_on, ignore, renamed

_COLUMNS = 6
_LONGEST = 120
_FPS = 10.0


def cluster(
    model: Segmenter,
    *,
    videos: Videos,
    out: str | Path,
    config: PseudoMaskConfig | None = None,
    watch: Watch = ignore,
) -> list[Path]:
    """Group the pixels of whole videos in space and time and draw the groups.

    Writes, for each video, ``<name>.png`` (a contact sheet of frames above their clusters) and ``<name>.mp4``
    (all frames, tinted). Maps that an earlier call with the same weights left in the folder are used again.

    Args:
        model: A loaded network.
        videos: Folders of videos and of frame folders, or single videos; or what `open_video_cache` gave.
        out: Where the pictures go; the maps are kept in ``pseudo_masks`` below it.
        config: How to cluster.
        watch: Told of videos done; asked before each.

    Returns:
        The contact sheets.

    Raises:
        UsageError: The network has no such feature.
        DataError: No usable video.
        Stopped: The watch asked; maps that are done are kept.
    """
    config = config or PseudoMaskConfig()
    check_matched(config.feature, model.encoder.backbone.channels)
    video_cache = open_video_cache(videos, watch=watch)
    usable = [FrameRange(v, 0, len(cached)) for v, cached in enumerate(video_cache.videos)]
    out = Path(out)
    maker = PseudoMaskMaker(video_cache, usable, config, out / "pseudo_masks")
    made = maker.refresh(model, 0, watch=renamed(watch, "clustering"))
    files = file_names([cached.name for cached in video_cache.videos])
    sheets = []
    for done, frame_range in enumerate(made.frame_ranges, start=1):
        go_on(watch)
        cached = video_cache.videos[frame_range.video]
        sheets.append(_draw(cached, frame_range, made.maps(frame_range), out / files[frame_range.video]))
        watch.tell("drawing", done, len(made.frame_ranges))
    return sheets


def clustering(model: Segmenter, sets: Sequence[str] = ()) -> PseudoMaskConfig:
    """Return settings to cluster with: of the feature that the weights are tracked by, with changes.

    Args:
        model: A loaded network.
        sets: Settings to change, as in ``clusters.clusters=5``; see `selfvos.settings.override`.

    Raises:
        UsageError: No such setting, or a value that it does not accept.
    """
    feature = model.notes.track.get("feature", {}).get("stage", "key")
    return override(PseudoMaskConfig(feature=feature), sets)


def file_names(videos: Sequence[str]) -> list[str]:
    """Return a file name, without ending, for each video: its own where that is short and no other's, else with a mark.

    Args:
        videos: Names of videos, no two alike; they may hold slashes.
    """
    plain = [name.replace("/", "__") for name in videos]
    # Some file systems take A and a for the same.
    often = Counter(name.casefold() for name in plain)
    return [
        name
        if often[name.casefold()] == 1 and len(name) <= _LONGEST
        else f"{name[:_LONGEST]}-{hashlib.sha256(video.encode()).hexdigest()[:8]}"
        for name, video in zip(plain, videos, strict=True)
    ]


def _draw(cached: CachedVideo, frame_range: FrameRange, maps: UInt8[np.ndarray, "t h w"], stem: Path) -> Path:
    shown = np.unique(np.linspace(0, frame_range.length - 1, _COLUMNS).round().astype(int))
    frames = [cached.frame(frame_range.start + int(i)) for i in shown]
    tinted = [tint(frame, maps[i]) for frame, i in zip(frames, shown, strict=True)]
    sheet = stem.with_name(f"{stem.name}.png")
    labels = [f"frame {frame_range.start + int(i)}" for i in shown] + [f"{maps.max() + 1} clusters"] * len(shown)
    save_image(sheet, contact_sheet([*frames, *tinted], columns=len(shown), labels=labels))
    with VideoWriter(stem.with_name(f"{stem.name}.mp4"), fps=_FPS) as video:
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
