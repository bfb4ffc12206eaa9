"""The weights `twin`: those that ship and a second encoder."""

from itertools import islice

import numpy as np
import pytest
from tests.tiny import picture, truth

from selfvos import api


@pytest.fixture(scope="module")
def twin():
    return api.load("twin", device="cpu")


def track(model, quality):
    config = api.change_settings(api.track_config(model, None, quality), sets=["frame.short_side_px=64"])
    frames = [picture(t) for t in range(4)]
    return np.stack([tracked.mask for tracked in islice(api.track(model, frames, truth(0), config=config), 4)])


@pytest.mark.parametrize("quality", ["fast", "balanced"])
def test_what_takes_one_encoder_does_what_the_default_weights_do(twin, quality):
    default = api.load("default", device="cpu")
    assert api.track_config(twin, None, quality) == api.track_config(default, None, quality)
    np.testing.assert_array_equal(track(twin, quality), track(default, quality))


def test_best_is_both_and_what_it_recommends(twin):
    best = api.track_config(twin, None, "best")
    assert best == api.track_config(twin, None)
    assert best.feature.stages == ("layer2", "layer3", "twin_layer2", "twin_layer3")
    found = track(twin, "best")
    assert np.mean(found[-1] == truth(3)) > 0.9


def test_it_learned_from_no_mask(twin):
    assert twin.notes.supervision == "none"
    assert any("beside it" in piece for piece in twin.notes.pieces)
