import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from selfvos.ops.label_map import Decision, Layer, PixelGrid, _places, label_map, label_map_plain, native_maps


def reference(maps, stride, resized, native):
    """To padded pixels, cut, to native size, arg max: each step a whole picture."""
    picture = F.interpolate(maps[None], scale_factor=float(stride), mode="bilinear", align_corners=False)
    picture = picture[..., : resized[0], : resized[1]]
    if resized != native:
        picture = F.interpolate(picture, size=native, mode="bilinear", align_corners=False)
    return picture[0]


@settings(max_examples=25, deadline=None)
@given(
    labels=st.integers(1, 5),
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    cut=st.tuples(st.integers(0, 7), st.integers(0, 7)),
    seed=st.integers(0, 2**16),
)
def test_it_is_the_arg_max_of_the_interpolated_picture(labels, grid, cut, seed):
    maps = torch.rand(labels, *grid, generator=torch.Generator().manual_seed(seed))
    size = (8 * grid[0] - cut[0], 8 * grid[1] - cut[1])
    found = label_map(maps, stride=8.0, resized=size, native=size)
    best, channel = reference(maps, 8, size, size).max(dim=0)
    clear = best - reference(maps, 8, size, size).where(torch.arange(labels).view(-1, 1, 1) != channel, -1).amax(0)
    sure = (clear > 1e-5).numpy()
    np.testing.assert_array_equal(found.channel[sure], channel.numpy()[sure])
    for label in range(labels):
        own = found.channel == label
        assert found.pixels[label] == own.sum()
        values = best.numpy()[own]
        assert found.total[label] == pytest.approx(values.sum(), abs=1e-3)
        assert found.peak[label] == pytest.approx(values.max() if own.any() else 0, abs=1e-5)


@pytest.mark.parametrize(("resized", "native"), [((40, 70), (40, 70)), ((40, 70), (20, 35)), ((40, 70), (93, 160))])
def test_compiled_and_plain_agree(resized, native):
    maps = torch.rand(4, 5, 9)
    found = label_map(maps, stride=8.0, resized=resized, native=native)
    places = [_places(c, r / (n * 8), n) for c, r, n in zip((5, 9), resized, native, strict=True)]
    plain = label_map_plain(maps, *places)
    np.testing.assert_array_equal(found.channel, plain.channel)
    for ours, other in zip(found[1:], plain[1:], strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-5)


def test_a_resized_frame_is_nearly_what_two_interpolations_give():
    torch.manual_seed(0)
    maps = F.avg_pool2d(torch.rand(1, 3, 34, 64), 5, 1)[0]
    found = label_map(maps, stride=8.0, resized=(240, 480), native=(120, 240))
    assert (found.channel == reference(maps, 8, (240, 480), (120, 240)).argmax(0).numpy()).mean() > 0.99


def test_the_lowest_channel_wins_ties():
    found = label_map(torch.full((3, 2, 2), 0.5), stride=8.0, resized=(16, 16), native=(16, 16))
    assert not found.channel.any()
    assert found.pixels.tolist() == [256, 0, 0]
    assert found.peak.tolist() == [0.5, 0, 0]


def test_maps_at_native_size_are_what_the_arg_max_is_taken_of():
    maps = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(0))
    found = native_maps(maps, stride=8.0, resized=(38, 45), native=(38, 45))
    torch.testing.assert_close(found, reference(maps, 8, (38, 45), (38, 45)), atol=1e-5, rtol=0)
    sizes = {"resized": (38, 45), "native": (61, 33)}
    np.testing.assert_array_equal(
        native_maps(maps, stride=8.0, **sizes).argmax(dim=0), label_map(maps, stride=8.0, **sizes).channel
    )


def test_the_nearest_cell_may_give_its_label_to_a_pixel():
    maps = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0))
    sizes = {"stride": 8.0, "resized": (40, 30), "native": (40, 30)}
    blocks = maps.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)[:, :40, :30]
    assert torch.equal(native_maps(maps, up="nearest", **sizes), blocks)
    np.testing.assert_array_equal(label_map(maps, up="nearest", **sizes).channel, blocks.argmax(dim=0))


def test_layers_may_come_in_any_order_and_be_as_large_as_what_they_show():
    generator = torch.Generator().manual_seed(0)
    grid = PixelGrid(cells=(9, 12), stride=4.0, resized=(34, 45), native=(51, 77))
    maps = torch.zeros(4, 9, 12)
    maps[0] = 0.3
    for channel, (top, left) in enumerate(((0, 0), (2, 4), (5, 8)), 1):
        maps[channel, top : top + 4, left : left + 4] = torch.rand(4, 4, generator=generator)
    whole = label_map(maps, stride=4.0, resized=(34, 45), native=(51, 77))
    decision = Decision(grid, 4)
    decision.add(Layer(3, maps[3, 4:, 7:], 4, 7))
    decision.add(Layer(1, maps[1, :5, :5]))
    decision.add(Layer(0, maps[0]))
    decision.add(Layer(2, maps[2, 1:7, 3:9], 1, 3))
    found = decision.result()
    assert len(np.unique(found.channel)) == 4
    for ours, wanted in zip(found, whole, strict=True):
        np.testing.assert_array_equal(ours, wanted)
