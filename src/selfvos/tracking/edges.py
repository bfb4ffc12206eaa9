"""Outlines that move to edges of the picture, without small objects being smoothed away."""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.ops.guided_filter import Guide, guided_filter
from selfvos.ops.label_map import Layer
from selfvos.ops.parallel import in_turn
from selfvos.ops.threads import kernel_threads
from selfvos.tracking.propagator import SoftMasks

_SIDE_PER_RADIUS = 6
"""A window that reaches farther than a sixth of an object's side to each side takes away more than its outline."""
_LEAST_PX = 2
"""A smaller reach is not worth its time."""


def at_edges(
    image: Float[Tensor, "1 3 y x"],
    soft: SoftMasks,
    edge_px: int,
    epsilon: float = 1e-3,
    *,
    guide: Guide | None = None,
) -> Iterator[Layer]:
    """Yield masks in pixels whose outlines have moved to edges of the picture, every channel once, in no set order.

    Windows get smaller for objects that are small beside them; outlines of the smallest ones stay where they are.
    There are only so many maps at a time as threads work on them, each as large as what its object may reach.

    Args:
        image: RGB in [0, 1], at the size of the padded frame.
        soft: Masks, background first.
        edge_px: How far outlines may move, >= 1.
        epsilon: Variance of colour below which a window counts as even, > 0.
        guide: Of this image for these two; None: made where it is needed.

    Source:
        This package's own, with the guided filter of He et al. 2010.
    """
    reaches = [edge_px, *(_reach(cells, soft.stride, edge_px) for cells in soft.present())]
    usual = all(reach == edge_px for reach in reaches)
    rest = torch.zeros(image.shape[2:], device=image.device)
    workers = kernel_threads()
    for reach in sorted(set(reaches), reverse=True):
        # What all masks of a reach share is as large as a mask: one reach after the other.
        redraw = _filter(image, soft, reach, epsilon, guide if reach == edge_px else None)
        channels = [channel for channel, own in enumerate(reaches) if own == reach and (channel or usual)]
        for layer in in_turn(redraw, channels, workers):
            yield layer
            h, w = layer.values.shape
            rest[layer.top : layer.top + h, layer.left : layer.left + w] += layer.values
    if not usual:
        yield Layer(0, (1 - rest).clamp(0, 1))


def make_guide(image: Float[Tensor, "1 3 y x"], edge_px: int, epsilon: float) -> Guide | None:
    """Return what `at_edges` makes of an image whatever its masks are; None where it makes nothing of it alone."""
    return Guide(image[0], radius_px=edge_px, epsilon=epsilon) if edge_px and image.device.type == "cpu" else None


def _filter(
    image: Float[Tensor, "1 3 y x"], soft: SoftMasks, reach: int, epsilon: float, made: Guide | None
) -> Callable[[int], Layer]:
    """Return what moves the outlines of a channel by up to so many pixels."""
    if not reach:
        return soft.layer_in_pixels
    if image.device.type != "cpu":

        def whole(channel: int) -> Layer:
            mask = soft.layer_in_pixels(channel).whole((image.shape[2], image.shape[3])).values
            found = guided_filter(image, mask[None, None], radius_px=reach, epsilon=epsilon)
            return Layer(channel, found[0, 0].clamp(0, 1))

        return whole
    guide = Guide(image[0], radius_px=reach, epsilon=epsilon) if made is None else made

    def part(channel: int) -> Layer:
        layer = soft.layer_in_pixels(channel, guide.margin)
        return layer._replace(values=guide.redraw(layer.values, layer.top, layer.left).clamp_(0, 1))

    return part


def _reach(cells: int, stride: int, edge_px: int) -> int:
    """Return how far a window reaches for an object of so many cells; 0 for no window."""
    fits, reach = math.sqrt(cells) * stride / _SIDE_PER_RADIUS, edge_px
    while reach > fits and reach >= _LEAST_PX:
        reach //= 2
    # What is not there at all is not smoothed away.
    return edge_px if cells == 0 else reach if reach >= _LEAST_PX else 0
