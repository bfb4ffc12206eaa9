import numpy as np
import pytest
from tests.tiny import picture, truth, write_video

from selfvos import api
from selfvos.api.discovery import DiscoveryConfig
from selfvos.errors import BrokenVideo, Stopped
from selfvos.ops.clustering import ClusterConfig
from selfvos.ops.objectness import Objectness
from selfvos.types import Watching

SMALL = DiscoveryConfig(
    frames=4, every=1, short_side_px=64, clusters=ClusterConfig(clusters=3, fit_every=1), objects=Objectness(objects=2)
)


@pytest.fixture(scope="module")
def model():
    return api.load("lab-patches", device="cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "square.mp4", (picture(t) for t in range(8)))


def test_a_red_square_is_found_without_any_mask(model, video):
    for frame in (0, 3):
        found = api.discover(model, video, frame=frame, config=SMALL)
        square = truth(frame) > 0
        best = max(
            ((found.mask == i) & square).sum() / ((found.mask == i) | square).sum() for i in range(1, found.objects + 1)
        )
        assert best > 0.8
        assert set(np.unique(found.mask)) == set(range(found.objects + 1))


def test_the_same_video_gives_the_same_mask(model, video):
    first, second = (api.discover(model, video, config=SMALL).mask for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_video_without_a_thing_is_told(model):
    flat = api.open_source([np.full((64, 64, 3), 90, np.uint8)] * 4)
    with pytest.raises(BrokenVideo, match="draw a mask"):
        api.discover(model, flat, config=SMALL)


def test_a_watch_can_stop_it(model, video):
    with pytest.raises(Stopped):
        api.discover(model, video, config=SMALL, watch=Watching(None, lambda: True))
