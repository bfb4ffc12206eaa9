from dataclasses import replace

import numpy as np
import pytest
import torch

from selfvos.data.clips import ClipPlan, frame_ranges
from selfvos.errors import DataError, Stopped
from selfvos.models.segmenter import Segmenter
from selfvos.training.pseudo_masks import (
    PseudoMaskMaker,
    choose_ranges,
    encode_range,
    encoder_mark,
    stored_rounds,
)
from selfvos.training.settings import PseudoMaskConfig
from selfvos.types import Watching


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    return Segmenter(config.model).eval()


@pytest.fixture
def usable(video_cache, config):
    return frame_ranges(video_cache, config.clips)


def maker(video_cache, usable, config, folder, **kwargs):
    return PseudoMaskMaker(video_cache, usable, config.pseudo_masks, folder, seed=1, **kwargs)


def run(model, video_cache, usable, config, folder, **kwargs):
    return maker(video_cache, usable, config, folder).refresh(model, 0, **kwargs)


def files(masks):
    return sorted(masks.files.values())


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


def test_a_pass_that_was_stopped_goes_on_where_it_was(model, video_cache, usable, config, tmp_path):
    told = []
    watch = Watching(lambda *at: told.append(at), lambda: len(told) == 2)
    with pytest.raises(Stopped):
        run(model, video_cache, usable, config, tmp_path, watch=watch)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.maps")}
    assert len(kept) == 2
    made = run(model, video_cache, usable, config, tmp_path)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    whole = run(model, video_cache, usable, config, tmp_path / "other")
    for frame_range in made.frame_ranges:
        assert (made.maps(frame_range) == whole.maps(frame_range)).all()


def test_what_was_made_of_other_things_is_never_shared(model, video_cache, usable, config, tmp_path):
    """Weights, videos, settings, precision and seed each give other files."""
    before = set(files(run(model, video_cache, usable, config, tmp_path)))
    mark = encoder_mark(model)
    first, *others = video_cache.videos
    changed = replace(video_cache, videos=(replace(first, identity="another"), *others))
    masks = config.pseudo_masks
    finer = replace(config, pseudo_masks=replace(masks, clusters=replace(masks.clusters, clusters=4)))
    video = replace(config, pseudo_masks=replace(masks, max_videos=0, max_frames=0))
    of_all = set(files(maker(video_cache, usable, video, tmp_path).round(0, mark)))
    of_changed = set(files(maker(changed, usable, video, tmp_path).round(0, mark)))
    assert len(of_all - of_changed) == len(of_changed - of_all) == 1
    assert before.isdisjoint(files(maker(video_cache, usable, finer, tmp_path).round(0, mark)))
    assert before.isdisjoint(files(maker(video_cache, usable, config, tmp_path, precision="bfloat16").round(0, mark)))
    with torch.no_grad():
        model.encoder.backbone.get_parameter("conv1.weight").mul_(1.1)
    assert before.isdisjoint(files(run(model, video_cache, usable, config, tmp_path)))


@pytest.mark.parametrize("kept", [100, -1, 0])
def test_a_file_that_was_cut_short_is_noticed_and_made_again(
    model, video_cache, usable, config, tmp_path, kept, caplog
):
    made = run(model, video_cache, usable, config, tmp_path)
    path = files(made)[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    (damaged,) = [r for r in made.frame_ranges if made.files[r.video] == path]
    with pytest.raises(DataError, match=f"{path.name} is damaged or gone.*--resume"):
        made.maps(damaged)
    run(model, video_cache, usable, config, tmp_path)
    assert path.name in caplog.text
    assert path.read_bytes() == whole


def test_every_flipped_byte_is_noticed(model, video_cache, usable, config, tmp_path):
    made = run(model, video_cache, usable, config, tmp_path)
    path = files(made)[0]
    whole = path.read_bytes()
    (damaged,) = [r for r in made.frame_ranges if made.files[r.video] == path]
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(DataError, match="digest differs"):
            made.maps(damaged)


def test_rounds_are_found_again_by_their_index(model, video_cache, usable, config, tmp_path):
    making = maker(video_cache, usable, config, tmp_path)
    made = [making.refresh(model, number) for number in (0, 1)]
    found = stored_rounds(tmp_path, video_cache)
    assert [(masks.frame_ranges, masks.files) for masks in found] == [(m.frame_ranges, m.files) for m in made]


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
