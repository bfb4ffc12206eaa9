import numpy as np
import pytest
import torch

from selfvos.data.clips import ClipPlan, stretches
from selfvos.models.segmenter import Segmenter
from selfvos.training.pseudo_masks import choose_stretches, encode_stretch, refresh
from selfvos.training.settings import PseudoMaskConfig


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    return Segmenter(config.model).eval()


@pytest.fixture
def usable(library, config):
    return stretches(library, config.clips)


def run(model, library, usable, config, store, **kwargs):
    return refresh(model, library, usable, config.pseudo_masks, store, seed=1, round=0, **kwargs)


def test_maps_are_bytes_at_feature_size_for_every_frame(model, library, usable, config, tmp_path):
    made = run(model, library, usable, config, tmp_path)
    assert len(made.stretches) == 3
    for stretch in made.stretches:
        maps = made.maps(stretch)
        assert maps.dtype == np.uint8
        assert maps.shape == (6, 8, 12)
        assert maps.max() < 3


def test_a_clip_gets_the_maps_of_its_own_frames(model, library, usable, config, tmp_path):
    made = run(model, library, usable, config, tmp_path)
    stretch = made.stretches[1]
    plan = ClipPlan(video=stretch.video, frames=(stretch.start + 1, stretch.start + 4))
    assert (made.for_clip(plan) == made.maps(stretch)[[1, 4]]).all()


def test_an_interrupted_pass_goes_on_where_it_stopped(model, library, usable, config, tmp_path, monkeypatch):
    class Stop(Exception):  # noqa: N818
        pass

    def stop(done, total):
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        run(model, library, usable, config, tmp_path, progress=stop)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len(kept) == 2
    made = run(model, library, usable, config, tmp_path)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    whole = run(model, library, usable, config, tmp_path / "other")
    for stretch in made.stretches:
        assert (made.maps(stretch) == whole.maps(stretch)).all()


def test_other_weights_never_share_maps(model, library, usable, config, tmp_path):
    first = run(model, library, usable, config, tmp_path)
    with torch.no_grad():
        model.encoder.backbone.get_parameter("conv1.weight").mul_(1.1)
    assert run(model, library, usable, config, tmp_path).folder != first.folder


def test_the_mode_of_the_network_is_kept_and_its_statistics_untouched(model, library, usable, config, tmp_path):
    model.train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    run(model, library, usable, config, tmp_path)
    assert model.training
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_rounds_take_other_samples_and_zero_takes_all(usable):
    limited = PseudoMaskConfig(max_videos=2, max_frames=3)
    samples = {choose_stretches(usable, limited, seed=0, round=r) for r in range(6)}
    assert len(samples) > 1
    assert choose_stretches(usable, limited, seed=0, round=2) == choose_stretches(usable, limited, seed=0, round=2)
    assert list(choose_stretches(usable, PseudoMaskConfig(), seed=0, round=0)) == usable


def test_features_cover_the_frame_in_unit_length(model, library):
    features = encode_stretch(model, library.packs[0], range(3), feature="layer3", short_side_px=70)
    assert features.shape == (3, 9, 13, 256)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(3, 9, 13))
