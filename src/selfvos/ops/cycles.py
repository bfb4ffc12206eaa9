"""Where the cells of one frame lie in another: dense affinities, expected positions, and boxes that follow them.

Positions are (x, y) from -1 to 1 between the edges of the picture, as in `selfvos.ops.warp`; a box is the affine
matrix that takes the positions of the cut-out to those of the frame. Everything is computed in float32, also under
autocast: in bfloat16 a position would be off by up to a whole cell.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.ops.propagation import dense_affinity
from selfvos.types import FrameFeatures


def feature_map(features: FrameFeatures, name: str) -> Float[Tensor, "b c h w"]:
    """Return what the encoder says of a batch of frames under one name, in float32.

    Args:
        features: Of the frames.
        name: ``key``, ``base``, or a stage such as ``layer3``.

    Raises:
        UsageError: The network has no such feature.
    """
    known = {"key": features.key, "base": features.base, **features.stages}
    if name not in known:
        raise UsageError(f"unknown feature {name!r}; this network has {', '.join(known)}")
    return known[name].float()


def frame_affinity(
    query: Float[Tensor, "b c h w"], memory: Float[Tensor, "b c h2 w2"], *, temperature: float
) -> Float[Tensor, "b r m"]:
    """Compare all r cells of one frame with all m cells of another.

    Args:
        query: Features of the frame whose cells are looked for.
        memory: Features of the frame in which they are looked for.
        temperature: Softmax temperature over the memory cells, > 0.

    Returns:
        Weight of each memory cell in each query cell, both row by row; columns sum to 1.
    """
    with _float32(query):
        return dense_affinity(query.float().flatten(2), memory.float().flatten(2), temperature)


def transport(
    affinity: Float[Tensor, "b r m"], values: Float[Tensor, "b c h2 w2"], size: tuple[int, int]
) -> Float[Tensor, "b c h w"]:
    """Rebuild a frame's values from those of another frame.

    Args:
        affinity: Weight of each of the r = h2 * w2 cells in each rebuilt cell; need not sum to 1.
        values: What the other frame's cells carry.
        size: Rows and columns of the rebuilt frame, h * w = m.
    """
    with _float32(values):
        return (values.float().flatten(2) @ affinity).unflatten(-1, size)


def cell_positions(height: int, width: int, like: Tensor) -> Float[Tensor, "n 2"]:
    """Return the centre (x, y) of each cell of a grid, row by row, on the device of `like`."""
    x = (2 * torch.arange(width, device=like.device, dtype=torch.float32) + 1) / width - 1
    y = (2 * torch.arange(height, device=like.device, dtype=torch.float32) + 1) / height - 1
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=-1)


def expected_positions(affinity: Float[Tensor, "b r m"], positions: Float[Tensor, "r 2"]) -> Float[Tensor, "b m 2"]:
    """Return where each query cell lies on average (soft-argmax).

    Args:
        affinity: Weight of each memory cell in each query cell; columns sum to 1.
        positions: Of the memory cells.
    """
    with _float32(affinity):
        return affinity.float().mT @ positions


def affine_matrix(
    centre: Float[Tensor, "b 2"], angle: Float[Tensor, "b"], scale: Float[Tensor, "b"] | float
) -> Float[Tensor, "b 2 3"]:
    """Return boxes by where they lie in a square frame.

    Args:
        centre: Position (x, y) in the frame.
        angle: Rotation in radians.
        scale: Side relative to the frame's.
    """
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    turn = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))
    return torch.cat([turn, centre[..., None]], dim=-1)


def random_boxes(
    batch: int, scale: float, *, max_angle_degrees: float, generator: torch.Generator
) -> Float[Tensor, "b 2 3"]:
    """Draw one box for every frame, evenly among those that would lie within it if they were not turned.

    Args:
        batch: Boxes to draw.
        scale: Side relative to the frame's, in (0, 1].
        max_angle_degrees: Largest rotation either way.
        generator: On the CPU, as is the result.
    """
    unit = 2 * torch.rand(batch, 3, generator=generator) - 1
    return affine_matrix((1 - scale) * unit[:, :2], math.radians(max_angle_degrees) * unit[:, 2], scale)


def move(matrix: Float[Tensor, "b 2 3"], positions: Float[Tensor, "n 2"]) -> Float[Tensor, "b n 2"]:
    """Return where positions of a cut-out lie in its frame."""
    # Products one by one: autocast would round a matrix product to bfloat16.
    return (matrix[:, None, :, :2] * positions[:, None]).sum(dim=-1) + matrix[:, None, :, 2]


def cut(
    images: Float[Tensor, "b c y x"], matrix: Float[Tensor, "b 2 3"], size: tuple[int, int]
) -> Float[Tensor, "b c y2 x2"]:
    """Cut boxes out of pictures or feature maps, by bilinear sampling.

    Args:
        images: Pixels or features.
        matrix: One box for each; differentiable.
        size: Rows and columns of the cut-outs.

    Returns:
        The cut-outs; zero beyond the edges of the picture.
    """
    grid = move(matrix.to(images.device), cell_positions(*size, like=images)).unflatten(1, size)
    return functional.grid_sample(images.float(), grid, align_corners=False)


def weight_at(
    affinity: Float[Tensor, "b r m"], positions: Float[Tensor, "b m 2"], size: tuple[int, int]
) -> Float[Tensor, "b m"]:
    """Return the weight that each query cell gives to one position of the memory frame.

    Args:
        affinity: Weight of each memory cell in each query cell.
        positions: One in the memory frame for each query cell; differentiable.
        size: Rows and columns of the memory frame, r cells.

    Returns:
        Between the weights of the four cells around, in [0, 1]; falls to 0 beyond the edges.
    """
    maps = affinity.float().mT.flatten(0, 1).unflatten(-1, (1, *size))  # (b m) 1 h2 w2
    found = functional.grid_sample(maps, positions.flatten(0, 1)[:, None, None], align_corners=False)
    return found.view(positions.shape[:2])


def _float32(like: Tensor) -> torch.autocast:
    return torch.autocast(like.device.type, enabled=False)
