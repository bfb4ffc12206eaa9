"""A real clip, tracked, with nothing to prepare."""

import importlib.resources
import importlib.util
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from selfvos.api.tracking import track_to
from selfvos.data.source import open_source
from selfvos.errors import MissingExtra
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.settings import TrackConfig
from selfvos.types import Tracked

FRAMES = 58
"""Frames tracked, from the first: after them the beak fills the picture."""


def demo(model: Segmenter, out: str | Path, *, config: TrackConfig | None = None) -> Iterator[Tracked]:
    """Track a cockatoo through the demo clip from a hand-drawn first mask, writing masks and overlay as `track_to`.

    Raises:
        MissingExtra: The package that holds the clip is not installed.
    """
    clip = demo_clip()
    source = open_source(clip)

    def frames() -> Iterator[np.ndarray]:
        return (frame.rgb for frame in islice(source, FRAMES))

    return track_to(model, frames(), demo_mask(), out, config=config, fps=source.fps)


def demo_clip() -> Path:
    """Return where the demo clip is installed.

    Raises:
        MissingExtra: It is not.
    """
    package = importlib.util.find_spec("imageio")
    if package is not None and package.origin:
        clip = Path(package.origin).parent / "resources" / "images" / "cockatoo.mp4"
        if clip.is_file():
            return clip
    raise MissingExtra("the demo clip is not installed; run: pip install 'selfvos[demo]'")


def demo_mask() -> Path:
    """Return the hand-drawn mask of the demo clip's first frame."""
    return Path(str(importlib.resources.files("selfvos.data") / "assets" / "cockatoo_first_mask.png"))
