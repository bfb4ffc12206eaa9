import pytest
import torch

from selfvos.errors import UsageError
from selfvos.ops.guided_filter import guided_filter
from selfvos.tracking import edges
from selfvos.tracking.propagator import DenseMasks
from selfvos.tracking.settings import ShowConfig


def soft(side, *, stride=2):
    """Two objects on 120 x 120 pixels: one of 90 pixels to each side, and one of `side` pixels in its corner."""
    pixels = torch.zeros(1, 3, 120, 120)
    pixels[0, 1, 26:116, 26:116] = 1
    pixels[0, 2, 4 : 4 + side, 4 : 4 + side] = 1
    pixels[0, 0] = 1 - pixels[0, 1:].sum(dim=0)
    return DenseMasks(torch.nn.functional.avg_pool2d(pixels, stride), stride, pixels)


def at_edges(image, masks, *settings):
    """Return what comes one after the other as maps (1 o1 y x)."""
    layers = {layer.channel: layer.whole(image.shape[2:]).values for layer in edges.at_edges(image, masks, *settings)}
    return torch.stack([layers[channel] for channel in range(masks.channels)])[None]


def even():
    """A picture without edges: all that a filter does to it is to smooth."""
    return torch.full((1, 3, 120, 120), 0.5)


def test_a_small_object_is_not_smoothed_away():
    for side in (4, 8, 12, 16):
        masks = soft(side)
        usual = guided_filter(even(), masks.in_pixels(), radius_px=12)
        found = at_edges(even(), masks, 12)
        kept = (found.argmax(dim=1) == 2).sum().item()
        assert kept >= 0.8 * side**2, (side, kept)
        assert (usual.argmax(dim=1) == 2).sum() < kept
        assert (found.sum(dim=1) > 1 - 1e-5).all()  # what no object takes is background


def test_objects_that_are_large_beside_the_window_are_filtered_as_ever():
    masks = soft(20)
    large = DenseMasks(masks.cells[:, :2], 2, masks.in_pixels()[:, :2])
    image = torch.rand(1, 3, 120, 120, generator=torch.Generator().manual_seed(0))
    assert torch.equal(at_edges(image, large, 12), guided_filter(image, large.in_pixels(), radius_px=12).clamp(0, 1))
    both = at_edges(image, masks, 12)
    assert torch.equal(both[:, 1], guided_filter(image, masks.in_pixels(), radius_px=12).clamp(0, 1)[:, 1])


def test_an_object_that_is_not_there_changes_nothing():
    masks = soft(0)
    assert torch.equal(at_edges(even(), masks, 12), guided_filter(even(), masks.in_pixels(), radius_px=12).clamp(0, 1))


def test_with_less_epsilon_outlines_follow_edges_that_are_weaker():
    """A square hardly brighter than its surroundings, whose mask is two pixels too small to each side."""
    image = torch.full((1, 3, 120, 120), 0.5)
    image[..., 20:100, 20:100] = 0.54
    pixels = torch.zeros(1, 2, 120, 120)
    pixels[0, 1, 22:98, 22:98] = 1
    pixels[0, 0] = 1 - pixels[0, 1]
    masks = DenseMasks(torch.nn.functional.avg_pool2d(pixels, 2), 2, pixels)
    usual, less = (at_edges(image, masks, 12, epsilon).argmax(dim=1).bool() for epsilon in (1e-3, 1e-5))
    right = image[:, 0] > 0.52
    assert torch.equal(at_edges(image, masks, 12, 1e-3), at_edges(image, masks, 12))
    assert (less != right).sum() < 0.05 * (usual != right).sum()


@pytest.mark.parametrize("epsilon", [0.0, -1e-3, float("inf"), float("nan")])
def test_an_epsilon_that_is_no_variance_is_refused(epsilon):
    with pytest.raises(UsageError, match="edge_epsilon must be > 0 and finite"):
        ShowConfig(edge_epsilon=epsilon)
