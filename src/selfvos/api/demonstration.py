"""A real clip, tracked, with nothing to prepare."""

from collections.abc import Iterator
from pathlib import Path

from selfvos.api.span import Span
from selfvos.api.tracking import Shot, track_to
from selfvos.data.sample import demo_clip, demo_mask
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.settings import TrackConfig
from selfvos.types import Tracked, Watch, ignore

FRAMES = 58
"""Frames tracked, from the first: after them the beak fills the picture."""


def demo(
    model: Segmenter,
    out: str | Path,
    *,
    config: TrackConfig | None = None,
    overwrite: bool = False,
    watch: Watch = ignore,
) -> Iterator[Tracked]:
    """Track a cockatoo through the demo clip from a hand-drawn first mask, writing what `track_to` writes.

    Raises:
        MissingExtra: The package that holds the clip is not installed.
        UsageError: `out` holds something already.
    """
    shot = Shot(video=demo_clip(), masks=demo_mask(), span=Span(end=FRAMES - 1))
    return track_to(model, shot, out, config=config, overwrite=overwrite, watch=watch)
