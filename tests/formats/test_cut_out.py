import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt
from tests.tiny import frame_folder, mask_folder

from selfvos import api
from selfvos.errors import UsageError
from selfvos.formats.cut_out import soft_edges
from selfvos.formats.opacity import smoothed

SIDE = 96


def blurred_disc(softness):
    """A red disc over blue whose rim is so many pixels wide, and how opaque it truly is."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = 28 - np.hypot(rows - SIDE / 2, columns - SIDE / 2)
    true = np.clip(inside / softness + 0.5, 0, 1)
    rgb = true[..., None] * (220, 60, 40) + (1 - true[..., None]) * (30, 80, 200)
    return np.rint(rgb).astype(np.uint8), true


def from_outline(mask):
    return np.maximum(distance_transform_edt(mask), distance_transform_edt(~mask))


def test_edges_are_as_soft_as_the_picture():
    rgb, true = blurred_disc(8)
    mask = true >= 0.5
    found = soft_edges(rgb, mask, 8)
    assert np.array_equal(found >= 128, mask)
    between = (found > 0) & (found < 255)
    assert between.any()
    assert from_outline(mask)[between].max() <= 8 * 1.5  # in steps along rows and columns
    assert np.abs(found / 255 - true).mean() < 0.4 * np.abs(smoothed(mask) / 255 - true).mean()


def test_sharp_edges_stay_sharp():
    rgb, true = blurred_disc(0.01)
    found = soft_edges(rgb, true >= 0.5, 8)
    assert np.abs(found / 255 - true).mean() < 0.01


@pytest.mark.parametrize("fill", [False, True])
def test_without_an_outline_nothing_is_soft(fill):
    mask = np.full((SIDE, SIDE), fill)
    assert np.array_equal(soft_edges(blurred_disc(4)[0], mask, 4), np.where(mask, 255, 0))


def test_an_object_at_the_border_and_one_of_a_single_pixel():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:20, :9] = mask[-1, -1] = mask[50, 50] = True
    found = soft_edges(blurred_disc(4)[0], mask, 4)
    assert np.array_equal(found >= 128, mask)
    assert found[40, 80] == 0


def test_it_is_asked_for_by_the_choice_and_refused_where_there_is_no_opacity(tmp_path):
    video, masks = frame_folder(tmp_path / "video", 3), mask_folder(tmp_path / "masks", [0, 1, 2])
    track = api.import_track(masks, tmp_path / "track", video=video)
    levels = {}
    for px in (0, 4):
        choice = api.Choice(format="rgba", video=video, soften_px=px)
        api.export(track, choice, tmp_path / f"cut{px}")
        levels[px] = np.asarray(Image.open(tmp_path / f"cut{px}" / "00001.png"))[..., 3]
        assert np.array_equal(levels[px] >= 128, track.mask(1) > 0)
    assert not np.array_equal(levels[0], levels[4])
    with pytest.raises(UsageError, match="no opacity"):
        api.export(track, api.Choice(format="coco", soften_px=4), tmp_path / "track.json")
    with pytest.raises(UsageError, match="at least 0"):
        api.export(track, api.Choice(format="rgba", video=video, soften_px=-1), tmp_path / "cut")
