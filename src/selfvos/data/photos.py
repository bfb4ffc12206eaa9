"""Photographs as clips: a window that glides over a picture, shrinks and grows, in changing light."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from selfvos.errors import UsageError
from selfvos.ops.colour import jitter


@dataclass(frozen=True, kw_only=True)
class PhotoConfig:
    """Which pictures are photographs, how often they are shown, and what happens to one."""

    folders: tuple[str, ...] = ("photos",)
    """Names of folders; the pictures in and below one are photographs, one clip each, not the frames of a video."""
    share: float = 0.25
    """Share of the clips that come from photographs where there are any, in [0, 1)."""
    min_side: float = 0.65
    """Smallest side of the window relative to the picture's, in (0, 1]; it never leaves the picture."""
    light: float = 0.1
    """Largest change of each frame's lightness, contrast, saturation and hue, in [0, 0.5]; see `jitter`."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UsageError(f"photos.share must be in [0, 1), got {self.share}")
        if not 0 < self.min_side <= 1:
            raise UsageError(f"photos.min_side must be in (0, 1], got {self.min_side}")
        if not 0 <= self.light <= 0.5:
            raise UsageError(f"photos.light must be in [0, 0.5], got {self.light}")


def glide(places: Sequence[int], min_side: float, draw: np.random.Generator) -> Float[np.ndarray, "t 3"]:
    """Return side and upper left corner of the window in each frame, as shares of the picture's sides.

    The window runs along a quadratic Bézier curve between three windows drawn at random: smooth, bent, and at changing
    speed. It stays inside the picture since all three are.

    Args:
        places: When each frame is taken, rising from 0, in any unit.
        min_side: Smallest side, in (0, 1].
        draw: Source of all randomness.

    Source:
        This package's own.
    """
    sides = draw.uniform(min_side, 1, size=3)
    knots = np.column_stack([sides, draw.uniform(size=(3, 2)) * (1 - sides)[:, None]])
    along = np.asarray(places)[:, None] / max(places[-1], 1)
    return (1 - along) ** 2 * knots[0] + 2 * along * (1 - along) * knots[1] + along**2 * knots[2]


def film(
    photo: UInt8[np.ndarray, "y x 3"], places: Sequence[int], config: PhotoConfig, seed: Sequence[int]
) -> UInt8[np.ndarray, "t y x 3"]:
    """Return a clip of a photograph, each frame as large as the photograph.

    Args:
        photo: The photograph.
        places: When each frame is taken, rising from 0, in any unit.
        config: How far the window shrinks and the light changes.
        seed: Everything random follows from it.
    """
    draw = np.random.default_rng(list(seed))
    picture = Image.fromarray(photo)
    frames = []
    for side, left, top in glide(places, config.min_side, draw):
        box = (left * picture.width, top * picture.height, (left + side) * picture.width, (top + side) * picture.height)
        # Rounding may put a window as large as the picture a hair beyond it.
        within = tuple(min(edge, float(limit)) for edge, limit in zip(box, 2 * picture.size, strict=True))
        frames.append(np.asarray(picture.resize(picture.size, Image.Resampling.BICUBIC, box=within)))
    clip = np.stack(frames)
    if not config.light:
        return clip
    pixels = torch.from_numpy(clip).movedim(-1, 1).float() / 255
    lit = jitter(pixels, config.light, torch.Generator().manual_seed(int(draw.integers(2**62))))
    return (lit * 255).round().byte().movedim(1, -1).numpy()
