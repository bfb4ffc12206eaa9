"""TimeCycle: a patch tracked backwards and forwards through time comes back to where it started.

Wang, Jabri and Efros 2019, arXiv:1903.07593.

From the paper [K]: tracking by affinity, a regressor of the box's place, a differentiable crop, and three losses:
cycles of growing length, cycles that skip frames, and similarity of patch and match. From public code
[X: xiaolonw/TimeCycle]: temperature 512 ** -0.5, a box of a third of the frame turned by at most 45 degrees and taken
among the ten of 7x7 places that move most, the regressor's layers, weights 0.02, 0.1 and 1, and that the last frame is
the target. Inferred [I]: motion is measured between the target and the frame before it (the code loads one frame
more); matches outside the frame score 0 (the code leaves them out of its mean); features of other sizes than 30x30
are resampled, as the regressor reads a fixed number of cells.

Departures: a box is cut out exactly where it lies, at the centres of its cells, where the code stretches the distance
of its centre from the middle by 227/210 and samples from edge to edge. The code's test program also predicts the first
frame, from itself; here the first mask stands as it was drawn.

It owns: plain RGB frames, shared with other objectives; the patch, cut from the target's pixels and encoded on its
own; unit-length features at any stride, resampled to `frame_cells`; the regressor. Which feature that is, `feature`
says: the code's 1x1 convolution to 512 channels is this network's ``base`` for ResNet-50.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.ops.cycles import affine_matrix, cell_positions, cut, feature_map, frame_affinity, move, weight_at
from selfvos.types import LossTerms

_SHARE = 3
_PLACES = 7
_CANDIDATES = 10

Locate = Callable[[Tensor], Tensor]
"""Reads boxes ``b 2 3`` out of the affinity ``b r m`` of frame and patch."""


@dataclass(frozen=True, kw_only=True)
class TimeCycleConfig:
    """How a patch is tracked and what its way costs."""

    feature: str = "base"
    """What is learned: ``base``, ``key``, or a stage such as ``layer3``."""
    temperature: float = 512**-0.5
    """Softmax temperature of the affinity of unit-length features, > 0."""
    frame_cells: int = 30
    """Feature cells of a frame's side that the regressor reads, a multiple of 3 from 21 on; the patch has a third."""
    max_angle_degrees: float = 45.0
    """Largest rotation of the patch."""
    cycle_weight: float = 0.02
    """Weight of the cycles through all frames in turn."""
    skip_weight: float = 0.1
    """Weight of the cycles straight to one frame and back."""
    similarity_weight: float = 1.0
    """Weight of the affinity along the predicted box."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        if self.frame_cells % _SHARE or self.frame_cells < 21:
            raise UsageError(f"frame_cells must be a multiple of 3 and at least 21, got {self.frame_cells}")


class Step(NamedTuple):
    """A patch found in one frame."""

    affinity: Float[Tensor, "b r m"]
    """Weight of each of the frame's cells in each of the patch's."""
    box: Float[Tensor, "b 2 3"]
    """Where the patch was found."""
    patch: Float[Tensor, "b c p p"]
    """What lies there, at unit length: the patch to look for next."""


def step(
    patch: Float[Tensor, "b c p p"], frame: Float[Tensor, "b c f f"], locate: Locate, *, temperature: float
) -> Step:
    """Find a patch in a frame.

    Args:
        patch: Unit-length features.
        frame: Features as they are.
        locate: Reads the box out of the affinity.
        temperature: Softmax temperature over the frame's cells, > 0.
    """
    affinity = frame_affinity(patch, functional.normalize(frame, dim=1), temperature=temperature)
    box = locate(affinity)
    return Step(affinity, box, functional.normalize(cut(frame, box, (patch.shape[-2], patch.shape[-1])), dim=1))


def alignment_loss(box: Float[Tensor, "b 2 3"], truth: Float[Tensor, "b 2 3"]) -> Float[Tensor, ""]:
    """Return the mean squared distance of two boxes' points, in half sides of the frame.

    Source:
        Wang et al. 2019, cycle alignment; a grid of 20x20 points from edge to edge, as in the public code.
    """
    side = torch.linspace(-1, 1, 20, device=box.device)
    points = torch.cartesian_prod(side, side)
    return (move(box, points) - move(truth, points)).square().sum(dim=-1).mean()


def similarity_loss(
    affinity: Float[Tensor, "b r m"], box: Float[Tensor, "b 2 3"], size: tuple[int, int], patch_size: tuple[int, int]
) -> Float[Tensor, ""]:
    """Score how much affinity lies where the box puts each of the patch's cells.

    Args:
        affinity: Weight of each of the frame's r cells in each of the patch's m cells.
        box: Where the patch is said to lie.
        size: Rows and columns of the frame.
        patch_size: Rows and columns of the patch.

    Returns:
        Minus the mean weight: -1 when all affinity lies along the box, 0 when none does.

    Source:
        Wang et al. 2019, similarity as the count of soft inliers.
    """
    return -weight_at(affinity, move(box, cell_positions(*patch_size, like=box)), size).mean()


def cycle_loss(
    frames: list[Float[Tensor, "b c f f"]],
    patch: Float[Tensor, "b c p p"],
    truth: Float[Tensor, "b 2 3"],
    locate: Locate,
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Track a patch of the last frame back by 1, 2 ... frames and forward again, and score where it comes out.

    Args:
        frames: Features of at least 2 frames, in order.
        patch: Unit-length features of the patch.
        truth: Where it was cut from the last frame.
        locate: Reads a box out of an affinity.
        temperature: Softmax temperature of the affinity, > 0.

    Returns:
        Mean alignment loss over the lengths; 0 when every cycle closes.

    Source:
        Wang et al. 2019, L_long with cycles of every length.
    """
    losses = []
    back = patch
    for turn in range(len(frames) - 2, -1, -1):
        back = step(back, frames[turn], locate, temperature=temperature).patch
        found, box = back, truth
        for frame in frames[turn + 1 :]:
            _, box, found = step(found, frame, locate, temperature=temperature)
        losses.append(alignment_loss(box, truth))
    return torch.stack(losses).mean()


def skip_losses(
    frames: list[Float[Tensor, "b c f f"]],
    patch: Float[Tensor, "b c p p"],
    truth: Float[Tensor, "b 2 3"],
    locate: Locate,
    *,
    temperature: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Look for a patch of the last frame straight in each other frame, and for what was found in the last again.

    Returns:
        Mean alignment loss of the way back, and mean similarity loss of the way there.

    Source:
        Wang et al. 2019, L_skip and L_sim. Arguments as in `cycle_loss`.
    """
    size, patch_size = ((x.shape[-2], x.shape[-1]) for x in (frames[-1], patch))
    aligned, similar = [], []
    for frame in frames[:-1]:
        there = step(patch, frame, locate, temperature=temperature)
        home = step(there.patch, frames[-1], locate, temperature=temperature)
        aligned.append(alignment_loss(home.box, truth))
        similar.append(similarity_loss(there.affinity, there.box, size, patch_size))
    return torch.stack(aligned).mean(), torch.stack(similar).mean()


def moving_boxes(
    frame: Float[Tensor, "b 3 y x"],
    before: Float[Tensor, "b 3 y x"],
    *,
    max_angle_degrees: float,
    generator: torch.Generator,
) -> Float[Tensor, "b 2 3"]:
    """Draw a box of a third of each frame where much moves.

    Args:
        frame: RGB from which the patch is cut.
        before: RGB of an earlier frame.
        max_angle_degrees: Largest rotation either way.
        generator: On the CPU.

    Returns:
        One of the ten of 7x7 places with the largest difference, moved by at most half a step and turned.
    """
    batch = len(frame)
    change = functional.adaptive_avg_pool2d((frame - before).abs().mean(dim=1, keepdim=True), _PLACES + 2)
    best = functional.avg_pool2d(change, 3, stride=1).flatten(1).topk(_CANDIDATES).indices.cpu()
    place = best.gather(1, torch.randint(_CANDIDATES, (batch, 1), generator=generator))[:, 0]
    unit = 2 * torch.rand(batch, 3, generator=generator) - 1
    column_row = torch.stack([place % _PLACES, place // _PLACES], dim=-1) / (_PLACES - 1)
    centre = (2 * (column_row + unit[:, :2] / 12).clamp(0, 1) - 1) * (1 - 1 / _SHARE)
    angle = torch.deg2rad(max_angle_degrees * unit[:, 2])
    return affine_matrix(centre, angle, 1 / _SHARE).to(frame.device)


class BoxRegressor(nn.Module):
    """Reads the place and rotation of a patch out of its affinity with a frame; its size is fixed.

    Source:
        Wang et al. 2019, spatial transformer of three parameters; layers as in the public code.
    """

    def __init__(self, frame_cells: int) -> None:
        super().__init__()
        self.patch_cells = frame_cells // _SHARE
        self.layers = nn.Sequential(
            nn.Conv2d(frame_cells**2, 128, 4, bias=False),
            nn.LeakyReLU(0.1),
            nn.Conv2d(128, 64, 4, bias=False),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
        )
        self.last = nn.Linear(64 * (self.patch_cells - 6) ** 2, 3)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)

    def forward(self, affinity: Float[Tensor, "b r m"]) -> Float[Tensor, "b 2 3"]:
        """Return the box for an affinity of `frame_cells` ** 2 by `patch_cells` ** 2 cells."""
        maps = affinity.unflatten(-1, (self.patch_cells, self.patch_cells))
        found = self.last(self.layers(maps)).float()
        return affine_matrix(found[:, :2], found[:, 2], 1 / _SHARE)


@OBJECTIVES.register("timecycle")
class TimeCycle(Objective):
    """Tracks a moving patch of the last frame through the others and back.

    Source:
        Wang et al. 2019, arXiv:1903.07593; departures in the module's description.
    """

    Config = TimeCycleConfig
    config: TimeCycleConfig

    def __init__(self, config: TimeCycleConfig) -> None:
        super().__init__(config)
        self.locate = BoxRegressor(config.frame_cells)

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `cycle`, `skip` and `similarity`, before their weights.

        Raises:
            UsageError: The clip has fewer than two frames, or the network has no such feature.
        """
        config, count = self.config, clip.frames.shape[1]
        if count < 2:
            raise UsageError(f"timecycle tracks through at least 2 frames, got clips of {count}; train on longer clips")
        truth = moving_boxes(
            clip.frames[:, -1],
            clip.frames[:, -2],
            max_angle_degrees=config.max_angle_degrees,
            generator=generator,
        )
        patch = self._patch(clip, truth)
        frames = [_resample(feature_map(clip.features(t), config.feature), config.frame_cells) for t in range(count)]
        cycle = cycle_loss(frames, patch, truth, self.locate, temperature=config.temperature)
        skip, similarity = skip_losses(frames, patch, truth, self.locate, temperature=config.temperature)
        total = config.cycle_weight * cycle + config.skip_weight * skip + config.similarity_weight * similarity
        parts = {"cycle": cycle.detach(), "skip": skip.detach(), "similarity": similarity.detach()}
        return LossTerms(total, parts)

    def _patch(self, clip: EncodedClip, truth: Tensor) -> Tensor:
        """Encode the patch at the size nearest to a third of the frame that the encoder takes."""
        last, side = clip.frames.shape[1] - 1, clip.frames.shape[-1]
        stride = side // clip.key(last).shape[-1]
        patch_px = max(1, round(side / _SHARE / stride)) * stride
        pixels = cut(clip.frames[:, last], truth, (patch_px, patch_px))
        features = feature_map(clip.model.encode_frame(pixels), self.config.feature)
        return functional.normalize(_resample(features, self.config.frame_cells // _SHARE), dim=1)


def _resample(features: Tensor, cells: int) -> Tensor:
    return functional.interpolate(features, size=(cells, cells), mode="bilinear", align_corners=False)
