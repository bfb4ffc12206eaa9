import errno
import os

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageFilter
from tests import tiny

from selfvos.data.mask_png import palette
from selfvos.data.overlay import colours, contact_sheet, overlay, save_image
from selfvos.errors import OutOfSpace, UsageError


def grey_with_square() -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 8:20] = 1
    return np.full((20, 30, 3), 100, np.uint8), mask


def test_a_square_is_tinted_with_a_rim_of_two_pixels():
    rgb, mask = grey_with_square()
    picture = overlay(rgb, mask)
    rim = mask.astype(bool)
    rim[7:13, 10:18] = False
    assert (picture[mask == 0] == 100).all()
    assert (picture[rim] == colours()[1]).all()
    inner = picture[7:13, 10:18].reshape(-1, 3)
    assert np.abs(inner - (0.5 * 100 + 0.5 * colours()[1])).max() <= 1


def test_the_colours_are_still_there_once_the_video_is_decoded(tmp_path):
    """Read by PyAV alone: background, tint and the place of two objects, frame by frame."""
    rgb = np.full((64, 96, 3), (90, 120, 150), np.uint8)
    masks = []
    for t in range(4):
        mask = np.zeros((64, 96), np.uint8)
        mask[8:40, 4 + 8 * t : 36 + 8 * t], mask[44:60, 60:92] = 1, 4
        masks.append(mask)
    path = tiny.write_video(tmp_path / "overlay.mp4", [overlay(rgb, mask) for mask in masks])
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 4
    for frame, mask in zip(frames, masks, strict=True):
        for id in (0, 1, 4):
            colour = (rgb[0, 0] + colours()[id].astype(float)) / 2 if id else rgb[0, 0].astype(float)
            # Colour comes at half the size, and blocks blur edges: what lies 5 pixels away from them counts.
            core = Image.fromarray(np.pad(mask == id, 1, constant_values=id == 0)).filter(ImageFilter.MinFilter(11))
            shown = frame[np.asarray(core)[1:-1, 1:-1]].astype(float)
            assert len(shown) > 50
            assert np.abs(shown.mean(axis=0) - colour).max() < 4
            assert np.abs(shown - colour).mean() < 4


@settings(max_examples=60, deadline=None)
@given(
    mask=npst.arrays(
        np.uint16, st.tuples(st.integers(1, 40), st.integers(1, 12)), elements=st.sampled_from([0, 1, 2, 255, 256, 300])
    ),
    alpha=st.floats(0, 1),
)
def test_the_background_is_never_touched_and_nothing_overflows(mask, alpha):
    rgb = np.random.default_rng(0).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    before = rgb.copy()
    picture = overlay(rgb, mask, alpha)
    np.testing.assert_array_equal(rgb, before)
    np.testing.assert_array_equal(picture[mask == 0], rgb[mask == 0])
    shown = colours()[np.where(mask > 255, (mask - 1) % 255 + 1, mask)].astype(float)
    low, high = np.minimum(rgb, shown), np.maximum(rgb, shown)
    objects = mask > 0
    assert (picture[objects] >= low[objects] - 1).all()
    assert (picture[objects] <= high[objects] + 1).all()
    np.testing.assert_array_equal(overlay(rgb, mask, 1.0)[objects], shown[objects])


def test_alpha_runs_from_rim_only_to_flat():
    rgb, mask = grey_with_square()
    assert (overlay(rgb, mask, 0.0)[7:13, 10:18] == 100).all()
    assert (overlay(rgb, mask, 1.0)[mask > 0] == colours()[1]).all()
    with pytest.raises(UsageError, match="alpha"):
        overlay(rgb, mask, 1.5)


def test_the_border_of_the_picture_is_no_edge():
    rgb = np.full((20, 20, 3), 100, np.uint8)
    picture = overlay(rgb, np.ones((20, 20), np.uint8))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1
    assert (picture[0, 0] != colours()[1]).any()


def test_touching_objects_are_both_rimmed():
    rgb = np.full((10, 20, 3), 100, np.uint8)
    mask = np.repeat([[1] * 10 + [2] * 10], 10, axis=0).astype(np.int64)
    picture = overlay(rgb, mask)
    assert (picture[:, 8:10] == colours()[1]).all()
    assert (picture[:, 10:12] == colours()[2]).all()
    assert (picture[:, 7] != colours()[1]).any()


def test_ids_above_255_begin_again_without_meeting_zero():
    rgb = np.full((9, 9, 3), 100, np.uint8)
    many = np.full((9, 9), 256, np.uint16)
    np.testing.assert_array_equal(overlay(rgb, many), overlay(rgb, np.ones((9, 9), np.uint8)))
    assert (overlay(rgb, many * 0 + 510) != 100).any()


def test_no_object_no_change():
    rgb = np.random.default_rng(0).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    picture = overlay(rgb, np.zeros((9, 9), np.uint8))
    np.testing.assert_array_equal(picture, rgb)
    assert picture is not rgb


def test_no_two_colours_are_alike():
    table = colours().astype(int)
    apart = np.abs(table[:, None] - table[None]).sum(-1) + 999 * np.eye(256, dtype=int)
    assert apart[:21, :21].min() >= 40
    assert apart.min() >= 1


def test_the_first_seven_are_told_apart_without_red_or_green_cones():
    # Linear-light projections for a missing cone: Vienot, Brettel and Mollon 1999, rounded.
    missing = {
        "red": np.array([[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.004, -0.004, 1.0]]),
        "green": np.array([[0.2928, 0.7072, 0.0], [0.2928, 0.7072, 0.0], [-0.0223, 0.0223, 1.0]]),
    }

    def closest(table: np.ndarray, seen: np.ndarray) -> float:
        linear = ((table / 255) ** 2.2) @ seen.T
        shown = 255 * linear.clip(0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(shown[:, None] - shown[None], axis=-1) + 999 * np.eye(len(table))
        return float(apart.min())

    for seen in missing.values():
        assert closest(colours()[:8].astype(float), seen) > 25
        assert closest(colours()[:8].astype(float), seen) > closest(palette()[:8].astype(float), seen)


def test_colours_keep_the_hue_of_the_palette():
    # Strongest channels of ids 1 to 6: red, green, red+green, blue, red+blue, green+blue.
    for i in range(1, 7):
        drawn, shown = palette()[i].astype(float), colours()[i].astype(float)
        assert shown[drawn > 0].min() > shown[drawn == 0].max()


def test_a_sheet_places_pictures_and_captions():
    images = [np.full((10, 40, 3), value, np.uint8) for value in (50, 100, 150)]
    sheet = contact_sheet(images, 2, ["one", "two", "three"])
    assert sheet.shape[1] >= 80
    assert sheet.shape[0] >= 2 * (10 + 11)
    for value in (50, 100, 150):
        assert ((sheet == value).all(-1)).sum() >= 400
    rows = [np.flatnonzero((sheet == value).all(-1).sum(1) >= 40) for value in (50, 100, 150)]
    assert rows[0].tolist() == rows[1].tolist()
    assert rows[2].min() > rows[0].max()
    assert (sheet[rows[0].max() + 1 : rows[2].min()] < 128).any(), "captions are drawn"


def test_a_sheet_takes_pictures_of_different_sizes_and_any_text():
    images = [np.zeros((4, 4, 3), np.uint8), np.zeros((20, 30, 3), np.uint8)]
    sheet = contact_sheet(images, 5, ["", "a caption far longer than its cell, größer 数"])
    assert ((sheet == 0).all(-1)).sum() >= 16 + 600


@pytest.mark.parametrize(("count", "columns", "labels"), [(0, 1, 0), (1, 0, 1), (2, 1, 1)])
def test_a_sheet_refuses_what_does_not_fit(count, columns, labels):
    with pytest.raises(UsageError):
        contact_sheet([np.zeros((4, 4, 3), np.uint8)] * count, columns, ["x"] * labels)


def test_pictures_are_saved_by_suffix(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    save_image(tmp_path / "new" / "a.png", rgb)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "new" / "a.png")), rgb)
    save_image(tmp_path / "a.JPG", rgb[:, ::-1])
    opened = Image.open(tmp_path / "a.JPG")
    assert (opened.format, opened.size) == ("JPEG", (24, 16))
    with pytest.raises(UsageError, match=r"\.png"):
        save_image(tmp_path / "a.gif", rgb)


def test_a_full_disk_leaves_the_old_picture(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("selfvos.storage.os.fsync", full)
    with pytest.raises(OutOfSpace):
        save_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]
