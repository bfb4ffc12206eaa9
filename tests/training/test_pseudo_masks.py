import numpy as np
import pytest
import torch

from selfvos.data.clips import ClipPlan, frame_ranges
from selfvos.models.segmenter import Segmenter
from selfvos.training.pseudo_masks import choose_ranges, encode_range, refresh
from selfvos.training.settings import PseudoMaskConfig


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    return Segmenter(config.model).eval()


@pytest.fixture
def usable(video_cache, config):
    return frame_ranges(video_cache, config.clips)


def run(model, video_cache, usable, config, store, **kwargs):
    return refresh(model, video_cache, usable, config.pseudo_masks, store, seed=1, round=0, **kwargs)


def test_maps_are_bytes_at_feature_size_for_every_frame(model, video_cache, usable, config, tmp_path):
    made = run(model, video_cache, usable, config, tmp_path)
    assert len(made.frame_ranges) == 3
    for frame_range in made.frame_ranges:
        maps = made.maps(frame_range)
        assert maps.dtype == np.uint8
        assert maps.shape == (6, 8, 12)
        assert maps.max() < 3


def test_a_clip_gets_the_maps_of_its_own_frames(model, video_cache, usable, config, tmp_path):
    made = run(model, video_cache, usable, config, tmp_path)
    frame_range = made.frame_ranges[1]
    plan = ClipPlan(video=frame_range.video, frames=(frame_range.start + 1, frame_range.start + 4))
    assert (made.for_clip(plan) == made.maps(frame_range)[[1, 4]]).all()


def test_an_interrupted_pass_goes_on_where_it_stopped(model, video_cache, usable, config, tmp_path, monkeypatch):
    class Stop(Exception):  # noqa: N818
        pass

    def stop(done, total):
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        run(model, video_cache, usable, config, tmp_path, progress=stop)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len(kept) == 2
    made = run(model, video_cache, usable, config, tmp_path)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    whole = run(model, video_cache, usable, config, tmp_path / "other")
    for frame_range in made.frame_ranges:
        assert (made.maps(frame_range) == whole.maps(frame_range)).all()


def test_other_weights_never_share_maps(model, video_cache, usable, config, tmp_path):
    first = run(model, video_cache, usable, config, tmp_path)
    with torch.no_grad():
        model.encoder.backbone.get_parameter("conv1.weight").mul_(1.1)
    assert run(model, video_cache, usable, config, tmp_path).folder != first.folder


def test_the_mode_of_the_network_is_kept_and_its_statistics_untouched(model, video_cache, usable, config, tmp_path):
    model.train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    run(model, video_cache, usable, config, tmp_path)
    assert model.training
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_rounds_take_other_samples_and_zero_takes_all(usable):
    limited = PseudoMaskConfig(max_videos=2, max_frames=3)
    samples = {choose_ranges(usable, limited, seed=0, round=r) for r in range(6)}
    assert len(samples) > 1
    assert choose_ranges(usable, limited, seed=0, round=2) == choose_ranges(usable, limited, seed=0, round=2)
    assert list(choose_ranges(usable, PseudoMaskConfig(), seed=0, round=0)) == usable


def test_features_cover_the_frame_in_unit_length(model, video_cache):
    features = encode_range(model, video_cache.videos[0], range(3), feature="layer3", short_side_px=70)
    assert features.shape == (3, 9, 13, 256)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(3, 9, 13))
