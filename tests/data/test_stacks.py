import numpy as np
import pytest
from PIL import Image

from selfvos.data import pictures
from selfvos.data.source import open_source, read_image
from selfvos.data.stacks import Stack, is_stack
from selfvos.errors import DataError


def save_stack(path, arrays, **options):
    first, *others = [Image.fromarray(array) for array in arrays]
    first.save(path, save_all=True, append_images=others, **options)
    return path


def test_pages_of_16_bits_are_spread_over_the_whole_stack(tmp_path):
    ramp = np.linspace(0, 1000, 48).reshape(6, 8).astype(np.uint16)
    dark, half, full = (
        frame.rgb for frame in open_source(save_stack(tmp_path / "a.tif", [ramp // 50, ramp // 2, ramp]))
    )
    assert dark.max() < 8
    assert abs(int(half.max()) - 127) <= 2
    assert full.max() >= 254


def test_pages_of_8_bits_stay_as_they_are(tmp_path):
    levels = [np.full((6, 8), 40 + i, np.uint8) for i in range(4)]
    assert [int(frame.rgb.max()) for frame in open_source(save_stack(tmp_path / "a.tif", levels))] == [40, 41, 42, 43]


def test_a_page_of_another_size_is_named(tmp_path):
    sizes = [(6, 8), (6, 8), (5, 8)]
    stack = Stack(save_stack(tmp_path / "a.tif", [np.zeros(size, np.uint8) for size in sizes]), fps=25.0)
    with pytest.raises(DataError, match=r"a\.tif: page 2 is 5x8, the first 6x8"):
        list(stack)


def test_a_thumbnail_behind_a_picture_does_not_make_a_stack(tmp_path):
    path = save_stack(tmp_path / "a.tif", [np.full((60, 80), 7, np.uint8), np.zeros((6, 8), np.uint8)])
    assert not is_stack(path)
    assert (read_image(path) == 7).all()
    assert is_stack(save_stack(tmp_path / "b.tif", [np.zeros((6, 8), np.uint8)] * 2))


def test_the_second_picture_of_a_phone_s_jpeg_is_no_frame(tmp_path):
    rgb = [np.full((16, 16, 3), 90 * i, np.uint8) for i in range(2)]
    path = save_stack(tmp_path / "a.jpg", rgb, format="MPO")
    assert not is_stack(path)


def test_a_giant_page_is_refused(tmp_path, monkeypatch):
    path = save_stack(tmp_path / "a.tif", [np.zeros((6, 8), np.uint8)] * 3)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 47)
    with pytest.raises(DataError, match="48 pixels"):
        Stack(path, fps=25.0)


def test_an_animation_keeps_the_times_of_its_pictures(tmp_path):
    rgb = [np.full((16, 16, 3), 60 * i, np.uint8) for i in range(4)]
    path = save_stack(tmp_path / "a.webp", rgb, lossless=True, duration=[100, 100, 300, 100])
    stack = open_source(path)
    assert stack.fps == pytest.approx(10.0)
    assert [frame.seconds for frame in stack] == pytest.approx([0, 0.1, 0.2, 0.5])
    assert [frame.index for frame in stack.frames(step=-1)] == [3, 2, 1, 0]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_stack_that_breaks_off_is_named(tmp_path):
    rng = np.random.default_rng(0)
    path = save_stack(tmp_path / "a.tif", [rng.integers(0, 255, (64, 64), dtype=np.uint8) for _ in range(4)])
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(DataError, match=r"a\.tif"):
        list(open_source(path))
