"""Objects cut out of one clip and moved through another: targets whose outline is exact."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError

_SMOOTH = 7
"""Side of the box, in pixels, that rounds the corners which cluster maps get from their cells."""
_EDGE = 4.0
"""Steepness of an outline: it passes from 0 to 1 while the smoothed mask changes by a quarter."""
_LEAST_AREA = 0.002
"""Fraction of the first frame below which an object is not worth following."""
_MOST_TURN = 0.5
"""Largest rotation to either side, in radians."""
_MOST_DRIFT = 0.12
"""Largest own motion from one frame to the next, in half sides of the picture."""
_LEAST_SHOWN, _MOST_SHOWN = 0.3, 0.7
"""Range of the share of an object's extent, along a random direction, that is shown where it is not whole."""
_REVERSED = 0.25
"""Share of those that hide, where the others are revealed."""


@dataclass(frozen=True, kw_only=True)
class PasteConfig:
    """How often and how strongly objects travel between the clips of a batch."""

    probability: float = 0.0
    """Share of clips that get an object of another one, in [0, 1]; 0 leaves all as they are."""
    min_scale: float = 0.6
    """Smallest size of a pasted object relative to what it was, > 0."""
    max_scale: float = 1.4
    """Largest size relative to what it was."""
    reveal: float = 0.0
    """Share of pasted objects that show a part of themselves in the first frame and all in the last, or, one in four,
    the other way round, in [0, 1]."""
    bend: float = 0.0
    """How far parts of a pasted object move against each other, at most, in half sides of the picture; 0: it is
    rigid."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UsageError(f"paste.probability must be in [0, 1], got {self.probability}")
        if not (0 <= self.reveal <= 1 and 0 <= self.bend <= 1):
            raise UsageError(f"paste.reveal and paste.bend must be in [0, 1], got {self.reveal} and {self.bend}")
        if not 0 < self.min_scale <= self.max_scale:
            raise UsageError(
                f"scales must satisfy 0 < min_scale <= max_scale, got {self.min_scale} and {self.max_scale}"
            )


def paste_objects(
    frames: Float[Tensor, "b t 3 y x"],
    masks: Int64[Tensor, "b t y x"],
    config: PasteConfig,
    generator: torch.Generator,
    *,
    label: int,
) -> tuple[Float[Tensor, "b t 3 y x"], Int64[Tensor, "b t y x"]]:
    """Let the first object of another clip of the batch fly through each drawn clip, in front of all that is there.

    The object keeps its own motion and gets a drift, a turn and a size on top. Cluster maps end at feature cells;
    the outline of a pasted object is known to the pixel, whatever it was cut out along.

    Args:
        frames: RGB in [0, 1].
        masks: Objects of each clip, 0 for background.
        config: How often and how strongly.
        generator: The only source of randomness, on the CPU; nothing is drawn where nothing can be pasted.
        label: What the pasted object is called. A clip's own object of that name becomes background.

    Returns:
        Frames and masks. A clip keeps its own where the other has no first object, or where too little of it would
        be seen in the first frame.

    Source:
        Own design; copying objects between pictures is common in supervised segmentation, here they are clusters.
    """
    batch, count = frames.shape[:2]
    if batch < 2 or not config.probability:
        return frames, masks
    unit = torch.rand(7, batch, generator=generator).to(frames.device)
    step = 1 + int(torch.randint(batch - 1, (1,), generator=generator))
    donors, shapes = frames.roll(step, dims=0), (masks == 1).roll(step, dims=0)
    theta = _paths(shapes[:, 0], unit, count, config)
    layers = torch.cat([donors, _outline(shapes)], dim=2).flatten(0, 1)
    # Nothing of a donor is seen beyond its own picture.
    grid = F.affine_grid(theta.flatten(0, 1), [len(layers), 1, *layers.shape[-2:]], align_corners=False)
    grid = grid.unflatten(0, (batch, count))
    if config.bend:
        grid = _bent(grid, config.bend, torch.rand(5, batch, generator=generator).to(frames.device))
    moved = F.grid_sample(layers, grid.flatten(0, 1), align_corners=False).unflatten(0, (batch, count))
    alpha = ((moved[:, :, 3:] - 0.5) * _EDGE + 0.5).clamp(0, 1)
    if config.reveal:
        drawn = torch.rand(4, batch, generator=generator).to(frames.device)
        alpha = alpha * _revealed(grid, shapes, config.reveal, drawn)
    seen = (alpha[:, 0] > 0.5).flatten(1).float().mean(dim=1) > _LEAST_AREA
    alpha = alpha * (seen & (unit[6] < config.probability))[:, None, None, None, None]
    pasted = alpha.flatten(1).any(dim=1)[:, None, None, None]
    own = masks.masked_fill(pasted & (masks == label), 0)
    result = torch.where(alpha[:, :, 0] > 0.5, torch.full_like(own, label), own)
    return torch.lerp(frames, moved[:, :, :3], alpha), result


def _paths(first: Tensor, unit: Tensor, count: int, config: PasteConfig) -> Float[Tensor, "b t 2 3"]:
    """Return where each output position of each frame looks in the donor, both in [-1, 1]."""
    scale = config.min_scale + (config.max_scale - config.min_scale) * unit[0]
    time = torch.arange(count, device=unit.device)
    signed = 2 * unit - 1
    turn = _MOST_TURN * (signed[1][:, None] + signed[2][:, None] * time / max(count - 1, 1)) / 2
    towards = signed[3] * math.pi
    heading = torch.stack([towards.cos(), towards.sin()], dim=-1)
    place = 0.7 * torch.stack([signed[4], signed[5]], dim=-1)
    place = place[:, None] + _MOST_DRIFT * unit[2][:, None, None] * heading[:, None] * time[:, None]
    cos, sin = (turn.cos() / scale[:, None], turn.sin() / scale[:, None])
    matrix = torch.stack([torch.stack([cos, sin], dim=-1), torch.stack([-sin, cos], dim=-1)], dim=-2)
    shift = _centre(first)[:, None] - (matrix @ place[..., None])[..., 0]
    return torch.cat([matrix, shift[..., None]], dim=-1)


def _bent(grid: Float[Tensor, "b t y x 2"], most: float, unit: Float[Tensor, "5 b"]) -> Float[Tensor, "b t y x 2"]:
    """Let a wave pass through the places where outputs look, by up to a quarter of its length from frame to frame."""
    time = torch.arange(grid.shape[1], device=grid.device)
    towards = 2 * math.pi * unit[0]
    ahead = torch.stack([towards.cos(), towards.sin()], dim=-1)
    length = 1 + unit[1]  # half sides of the picture
    passed = 2 * math.pi * unit[2][:, None] + math.pi / 2 * unit[3][:, None] * time
    phase = (grid * ahead[:, None, None, None]).sum(dim=-1) * (2 * math.pi / length)[:, None, None, None]
    wave = (phase + passed[:, :, None, None]).sin() * (most * unit[4])[:, None, None, None]
    return grid + wave[..., None] * ahead.flip(-1)[:, None, None, None]


def _revealed(
    grid: Float[Tensor, "b t y x 2"], shapes: Bool[Tensor, "b t y x"], share: float, unit: Float[Tensor, "4 b"]
) -> Float[Tensor, "b t 1 y x"]:
    """Return which part of each object is shown: what lies on one side of a line that moves across it."""
    towards = 2 * math.pi * unit[0]
    ahead = torch.stack([towards.cos(), towards.sin()], dim=-1)
    y, x = ((torch.arange(n, device=grid.device) * 2 + 1) / n - 1 for n in shapes.shape[2:])
    places = x * ahead[:, 0, None, None] + y[:, None] * ahead[:, 1, None, None]
    ever = shapes.any(dim=1)
    least = places.masked_fill(~ever, math.inf).flatten(1).amin(dim=1)
    most = places.masked_fill(~ever, -math.inf).flatten(1).amax(dim=1)
    time = torch.linspace(0, 1, grid.shape[1], device=grid.device)
    time = torch.where(unit[1][:, None] < _REVERSED, 1 - time, time)
    begun = _LEAST_SHOWN + (_MOST_SHOWN - _LEAST_SHOWN) * unit[2][:, None]
    line = least[:, None] + (most - least)[:, None] * (begun + (1.1 - begun) * time)
    here = (grid * ahead[:, None, None, None]).sum(dim=-1)
    shown = ((line[:, :, None, None] - here) * grid.shape[-2] / 4 + 0.5).clamp(0, 1)
    whole = (unit[3] >= share) | ~ever.flatten(1).any(dim=1)
    return torch.where(whole[:, None, None, None], 1.0, shown)[:, :, None]


def _centre(shape: Tensor) -> Float[Tensor, "b 2"]:
    weight = shape.float()
    total = weight.sum(dim=(1, 2)).clamp_min(1)
    x, y = ((torch.arange(n, device=shape.device) * 2 + 1) / n - 1 for n in (shape.shape[2], shape.shape[1]))
    return (
        torch.stack([(weight.sum(dim=1) * x).sum(dim=1), (weight.sum(dim=2) * y).sum(dim=1)], dim=-1) / total[:, None]
    )


def _outline(shapes: Tensor) -> Float[Tensor, "b t 1 y x"]:
    x = shapes.flatten(0, 1)[:, None].float()
    for _ in range(2):
        x = F.avg_pool2d(x, _SMOOTH, stride=1, padding=_SMOOTH // 2, count_include_pad=False)
    return x.unflatten(0, shapes.shape[:2])
