"""What STM remembers; that it learns and follows is tested in tests/training/test_supervised_learning.py."""

import numpy as np
import pytest
import torch

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.tracking import stm
from selfvos.tracking.settings import FrameConfig, MemoryConfig, SystemSpec, TrackConfig
from selfvos.tracking.system import make_tracker


@pytest.fixture(scope="module")
def model(tiny_resnet):
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("selfvos.models.mask_paths.stm._WIDTH", 8)
        config = SegmenterConfig(backbone=tiny_resnet, last_stage=3, stride=16, key_channels=8, mask_path="stm")
        return Segmenter(config).eval()


def read_frames(model, monkeypatch, *, steps, given=None, **settings):
    """Return how many memory frames are read for each object in each step; `given`: step -> mask."""
    sizes, read = [], stm.space_time_read

    def count(query, memory):
        sizes[-1].append(memory.shape[-1] // (query.shape[-2] * query.shape[-1]))
        return read(query, memory)

    monkeypatch.setattr(stm, "space_time_read", count)
    config = TrackConfig(
        frame=FrameConfig(short_side_px=32), memory=MemoryConfig(last=2), system=SystemSpec(settings=settings)
    )
    tracker = make_tracker(model, config)
    rng = np.random.default_rng(0)
    mask = np.zeros((32, 48), dtype=np.uint8)
    mask[8:24, 8:24] = 1
    tracker.start(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8), mask)
    for step in range(1, steps + 1):
        sizes.append([])
        tracker.step(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8), (given or {}).get(step))
    return sizes


def test_remembers_the_first_the_latest_and_every_third_frame(model, monkeypatch):
    found = read_frames(model, monkeypatch, steps=11, every=3)
    # Before frame t: the first, those of 3, 6, 9 that are past (two at most), and t - 1 unless it is one of these.
    assert [sizes[0] for sizes in found] == [1, 2, 2, 2, 3, 3, 3, 4, 4, 3, 4]


def test_an_object_that_comes_later_is_read_from_where_it_was_drawn_on(model, monkeypatch):
    second = np.zeros((32, 48), dtype=np.uint8)
    second[4:20, 28:44] = 2
    found = read_frames(model, monkeypatch, steps=4, given={2: second})
    assert found == [[1], [2], [2, 1], [3, 2]]


def test_settings_are_checked(model):
    with pytest.raises(UsageError, match="every must be at least 1"):
        make_tracker(model, TrackConfig(system=SystemSpec(settings={"every": 0})))
