import shutil

import numpy as np
import pytest
from PIL import Image

from selfvos import api
from selfvos.api.clusters import file_names
from selfvos.data.video import VideoFile
from selfvos.errors import Stopped, UsageError
from selfvos.training.settings import PseudoMaskConfig
from selfvos.types import Watching


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


def test_every_video_has_a_sheet_of_its_own(videos, tmp_path):
    """Videos of one name in two folders, and names that are alike once slashes are gone."""
    (tmp_path / "more").mkdir()
    for name in ("two_halves", "a__b", "a/b"):
        shutil.copytree(videos / "two_halves", tmp_path / "more" / name)
    model, out = api.load("lab-patches"), tmp_path / "out"
    cached = api.open_video_cache([videos, tmp_path / "more"], cache=tmp_path / "cache")
    sheets = api.cluster(model, videos=cached, out=out, config=PseudoMaskConfig(short_side_px=64))
    assert len(set(sheets)) == len(sheets) == 4
    assert all(sheet.is_file() and sheet.with_name(f"{sheet.name[:-4]}.mp4").is_file() for sheet in sheets)
    assert {"more__two_halves.png", "videos__two_halves.png"} <= {sheet.name for sheet in sheets}


def test_names_of_files_are_short_and_never_alike():
    names = ["a/b", "a__b", "A/b", "c", "d" * 300, "d" * 299 + "/"]
    files = file_names(names)
    assert files[3] == "c"
    assert len({file.casefold() for file in files}) == len(names)
    assert max(map(len, files)) < 140


def test_a_stop_is_heard_between_videos(videos, tmp_path):
    shutil.copytree(videos / "two_halves", videos / "again")
    told = []
    watch = Watching(lambda *at: told.append(at), lambda: ("clustering", 1, 2) in told)
    cached = api.open_video_cache(videos, cache=tmp_path / "cache")
    with pytest.raises(Stopped):
        api.cluster(api.load("lab-patches"), videos=cached, out=tmp_path / "out", watch=watch)
    assert told == [("clustering", 1, 2)]
    assert len(list((tmp_path / "out").rglob("*.maps"))) == 1
