import numpy as np
import pytest
from PIL import Image

from selfvos import api
from selfvos.data.video import VideoFile
from selfvos.errors import UsageError
from selfvos.training.settings import PseudoMaskConfig


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos" / "two_halves"
    folder.mkdir(parents=True)
    for t in range(4):
        rgb = np.zeros((64, 96, 3), dtype=np.uint8)
        rgb[:, : 40 + 4 * t] = (230, 60, 30)
        rgb[:, 40 + 4 * t :] = (30, 60, 230)
        Image.fromarray(rgb).save(folder / f"{t}.png")
    return folder.parent


def test_colours_are_told_apart_and_drawn(videos, tmp_path):
    model = api.load("lab-patches")
    config = PseudoMaskConfig(short_side_px=64)
    cached = api.open_video_cache(videos, cache=tmp_path / "cache")
    (sheet,) = api.cluster(model, videos=cached, out=tmp_path / "out", config=config)
    drawn = np.asarray(Image.open(sheet))
    assert drawn.shape[0] > 2 * 64
    assert drawn.shape[1] >= 4 * 96
    movie = list(VideoFile(sheet.with_suffix(".mp4")))
    assert len(movie) == 4
    tints = [
        2 * movie[0].rgb[32, x].astype(int) - np.array(colour)
        for x, colour in ((8, (230, 60, 30)), (90, (30, 60, 230)))
    ]
    assert np.abs(tints[0] - tints[1]).max() > 60


def test_a_feature_that_is_not_there_is_refused(videos, tmp_path):
    with pytest.raises(UsageError, match="unknown feature 'layer3'"):
        api.cluster(
            api.load("lab-patches"), videos=videos, out=tmp_path / "out", config=PseudoMaskConfig(feature="layer3")
        )
