import numpy as np
import pytest
import torch

from selfvos.ops.label_map import label_map
from selfvos.tracking.framing import Framing
from selfvos.tracking.settings import FrameConfig

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("native", "resized", "padded"),
    [((480, 854), (480, 854), (480, 856)), ((240, 432), (480, 864), (480, 864)), ((1080, 608), (853, 480), (856, 480))],
)
def test_sizes(native, resized, padded):
    framing = Framing.fit(native, FrameConfig(short_side_px=480), 8)
    assert (framing.resized, framing.padded) == (resized, padded)


def test_frame_is_scaled_to_one_and_padded_with_its_border():
    rgb = np.full((16, 17, 3), 51, dtype=np.uint8)
    framing = Framing.fit((16, 17), FrameConfig(short_side_px=16), 8)
    x = framing.frame(rgb, CPU)
    assert x.shape == (1, 3, 16, 24)
    torch.testing.assert_close(x, torch.full_like(x, 0.2))


@pytest.mark.parametrize(("mode", "steps"), [("bilinear", 2), ("nearest", 12)])
@pytest.mark.parametrize("native", [(90, 121), (40, 54), (64, 90)])
def test_resized_in_bytes_a_frame_is_nearly_what_it_is_in_full_precision(native, mode, steps):
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 9, 12)))
    rgb = torch.nn.functional.interpolate(coarse, size=native, mode=mode)[0].permute(1, 2, 0).numpy().round()
    framing = Framing.fit(native, FrameConfig(short_side_px=64), 8)
    exact = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255
    if framing.resized != native:
        exact = torch.nn.functional.interpolate(exact, size=framing.resized, mode="bicubic", antialias=True)
    h, w = framing.resized
    found = framing.frame(rgb.astype(np.uint8), CPU)
    assert found.dtype == torch.float32
    off = 255 * (found[..., :h, :w] - exact.clamp(0, 1)).abs()
    assert off.max() <= steps + 0.01
    assert off.mean() <= 0.5


def test_masks_come_back_where_they_were():
    mask = np.zeros((30, 50), dtype=np.uint8)
    mask[5:20, 10:40] = 7
    framing = Framing.fit((30, 50), FrameConfig(short_side_px=64), 8)
    objects = framing.objects(mask, [7], CPU)
    assert objects.shape == (1, 1, *framing.padded)
    maps = torch.cat([1 - objects, objects], dim=1)[0]
    back = label_map(maps, stride=1.0, resized=framing.resized, native=framing.native).channel
    assert (back == (mask == 7)).mean() > 0.98


def test_no_objects_give_no_maps():
    framing = Framing.fit((16, 16), FrameConfig(short_side_px=16), 8)
    assert framing.objects(np.zeros((16, 16), dtype=np.uint8), [], CPU).shape == (1, 0, 16, 16)


def test_a_given_size_holds_whatever_the_shape():
    framing = Framing.fit((240, 320), FrameConfig(size_px=(100, 60)), 8)
    assert (framing.resized, framing.padded) == ((100, 60), (104, 64))


def test_the_nearest_label_keeps_ids_and_halves():
    framing = Framing.fit((6, 4), FrameConfig(short_side_px=16), 8)
    small = np.array([[7, 0], [0, 700], [3, 3]], np.uint16)
    np.testing.assert_array_equal(framing.nearest(small), np.repeat(np.repeat(small, 2, axis=0), 2, axis=1))
    np.testing.assert_array_equal(framing.nearest(np.arange(24).reshape(6, 4)), np.arange(24).reshape(6, 4))
    large = np.repeat(np.repeat(small, 6, axis=0), 6, axis=1)  # 18 by 12
    np.testing.assert_array_equal(framing.nearest(large), np.repeat(np.repeat(small, 2, axis=0), 2, axis=1))


@pytest.mark.parametrize(
    ("native", "config", "resized", "padded"),
    [
        ((480, 854), FrameConfig(long_side_multiple=64), (480, 832), (480, 832)),
        ((1920, 1080), FrameConfig(long_side_multiple=64, short_side_px=480), (832, 480), (832, 480)),
        ((480, 854), FrameConfig(long_side_multiple=64, short_side_px=560), (560, 960), (560, 960)),
        ((45, 48), FrameConfig(long_side_multiple=64, short_side_px=480), (480, 512), (480, 512)),
        ((480, 854), FrameConfig(short_side_px=960, fit="stretch"), (960, 1712), (960, 1712)),
        ((101, 50), FrameConfig(short_side_px=None), (101, 50), (112, 64)),
        ((101, 50), FrameConfig(short_side_px=None, fit="stretch"), (112, 64), (112, 64)),
        ((480, 854), FrameConfig(short_side_px=None, fit="shrink"), (480, 848), (480, 848)),
        ((101, 12), FrameConfig(short_side_px=None, fit="shrink"), (96, 16), (96, 16)),
    ],
)
def test_sizes_by_other_rules(native, config, resized, padded):
    framing = Framing.fit(native, config, 16)
    assert (framing.resized, framing.padded) == (resized, padded)


def test_cells_take_their_labels_from_the_pixels_at_their_centres_or_corners():
    framing = Framing.fit((20, 12), FrameConfig(short_side_px=24), 8)  # twice as large, padded by 8 rows
    assert framing.padded == (40, 24)
    assert framing.places(8, "subsample")[0].tolist() == [0, 4, 8, 12, 16]
    assert framing.places(8, "nearest")[1].tolist() == [2, 6, 10]
    assert framing.places(8, "bilinear")[1].tolist() == [1.5, 5.5, 9.5]
    padded = Framing.fit((9, 16), FrameConfig(short_side_px=None), 8)
    assert padded.places(8, "nearest")[0].tolist() == [4, 8]  # the second cell is centred in the padding


def test_frames_are_stretched_to_the_stride():
    framing = Framing.fit((20, 30), FrameConfig(short_side_px=None, fit="stretch"), 16)
    rgb = np.full((20, 30, 3), 51, dtype=np.uint8)
    torch.testing.assert_close(framing.frame(rgb, CPU), torch.full((1, 3, 32, 32), 0.2))
