import numpy as np
import pytest
import torch

from selfvos.ops.label_map import label_map
from selfvos.tracking.framing import Framing
from selfvos.tracking.settings import TrackConfig

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("native", "resized", "padded"),
    [((480, 854), (480, 854), (480, 856)), ((240, 432), (480, 864), (480, 864)), ((1080, 608), (853, 480), (856, 480))],
)
def test_sizes(native, resized, padded):
    framing = Framing.fit(native, TrackConfig(short_side_px=480), 8)
    assert (framing.resized, framing.padded) == (resized, padded)


def test_frame_is_scaled_to_one_and_padded_with_its_border():
    rgb = np.full((16, 17, 3), 51, dtype=np.uint8)
    framing = Framing.fit((16, 17), TrackConfig(short_side_px=16), 8)
    x = framing.frame(rgb, CPU)
    assert x.shape == (1, 3, 16, 24)
    torch.testing.assert_close(x, torch.full_like(x, 0.2))


def test_masks_come_back_where_they_were():
    mask = np.zeros((30, 50), dtype=np.uint8)
    mask[5:20, 10:40] = 7
    framing = Framing.fit((30, 50), TrackConfig(short_side_px=64), 8)
    objects = framing.objects(mask, [7], CPU)
    assert objects.shape == (1, 1, *framing.padded)
    maps = torch.cat([1 - objects, objects], dim=1)[0]
    back = label_map(maps, stride=1.0, resized=framing.resized, native=framing.native).channel
    assert (back == (mask == 7)).mean() > 0.98


def test_no_objects_give_no_maps():
    framing = Framing.fit((16, 16), TrackConfig(short_side_px=16), 8)
    assert framing.objects(np.zeros((16, 16), dtype=np.uint8), [], CPU).shape == (1, 0, 16, 16)


def test_a_given_size_holds_whatever_the_shape():
    framing = Framing.fit((240, 320), TrackConfig(size_px=(100, 60)), 8)
    assert (framing.resized, framing.padded) == ((100, 60), (104, 64))


def test_the_nearest_label_keeps_ids_and_halves():
    framing = Framing.fit((6, 4), TrackConfig(short_side_px=16), 8)
    small = np.array([[7, 0], [0, 700], [3, 3]], np.uint16)
    np.testing.assert_array_equal(framing.nearest(small), np.repeat(np.repeat(small, 2, axis=0), 2, axis=1))
    np.testing.assert_array_equal(framing.nearest(np.arange(24).reshape(6, 4)), np.arange(24).reshape(6, 4))
    large = np.repeat(np.repeat(small, 6, axis=0), 6, axis=1)  # 18 by 12
    np.testing.assert_array_equal(framing.nearest(large), np.repeat(np.repeat(small, 2, axis=0), 2, axis=1))
