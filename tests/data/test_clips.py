from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfvos.data.clips import ClipConfig, FrameRange, RawClip, cut_clip, finish_batch, join_clips, plan_batch
from selfvos.errors import UsageError
from selfvos.ops.paste import PasteConfig
from selfvos.ops.pseudo_objects import ObjectChoice

CPU = torch.device("cpu")


def test_every_video_comes_once_an_epoch():
    usable = [FrameRange(v, 0, 30) for v in range(10)]
    plans = [plan for step in range(5) for plan in plan_batch(usable, ClipConfig(), seed=1, step=step, batch=4)]
    assert Counter(plan.video for plan in plans[:10]) == Counter(range(10))
    assert Counter(plan.video for plan in plans[10:]) == Counter(range(10))
    assert [p.video for p in plans[:10]] != [p.video for p in plans[10:]]


def test_a_step_is_the_same_whenever_it_is_asked_for():
    usable = [FrameRange(v, 0, 30) for v in range(7)]
    ask = lambda seed: plan_batch(usable, ClipConfig(), seed=seed, step=12, batch=4)  # noqa: E731
    assert ask(3) == ask(3)
    assert ask(3) != ask(4)


@settings(deadline=None)
@given(
    length=st.integers(4, 60),
    start=st.integers(0, 20),
    frame_step=st.integers(1, 5),
    last=st.integers(3, 12),
    step=st.integers(0, 50),
)
def test_frames_rise_and_stay_inside_their_stretch(length, start, frame_step, last, step):
    config = ClipConfig(offsets=(0, 1, 2, last), frame_step=frame_step)
    (plan,) = plan_batch([FrameRange(0, start, length)], config, seed=0, step=step, batch=1)
    assert len(plan.frames) == 4
    assert all(a < b for a, b in pairwise(plan.frames))
    assert start <= plan.frames[0]
    assert plan.frames[-1] < start + length


def test_long_videos_keep_offsets_and_step():
    config = ClipConfig(offsets=(0, 1, 2, 7), frame_step=2)
    (plan,) = plan_batch([FrameRange(0, 0, 100)], config, seed=0, step=0, batch=1)
    assert [i - plan.frames[0] for i in plan.frames] == [0, 2, 4, 14]


@pytest.mark.parametrize("offsets", [(1, 2), (0, 2, 1), (0, 0, 1)])
def test_offsets_must_rise_from_zero(offsets):
    with pytest.raises(UsageError, match="rise from 0"):
        ClipConfig(offsets=offsets)


def raw(side, maps=True):
    rng = np.random.default_rng(side)
    cells = np.zeros((3, side // 8, side // 8), dtype=np.uint8)
    cells[:, :, side // 16 :] = 1
    pixels = rng.integers(0, 100, (3, side, side, 3), dtype=np.uint8)
    pixels[:, :, side // 2 :] += 150
    return RawClip(frames=pixels, index=(0, 2, 4), maps=cells if maps else None)


def cut(raw, config, seed, choice=ObjectChoice()):  # noqa: B008 - frozen
    return cut_clip(raw, config, choice, generator=torch.Generator().manual_seed(seed), device=CPU)


def test_clips_of_all_sizes_are_cropped_to_one(monkeypatch):
    config = ClipConfig(offsets=(0, 1, 2), crop_px=64)
    ask = lambda seed: join_clips([cut(raw(80), config, seed), cut(raw(128), config, seed)])  # noqa: E731
    clip = ask(0)
    assert clip.frames.shape == (2, 3, 3, 64, 64)
    assert clip.index.tolist() == [[0, 1, 2]] * 2
    assert clip.masks is not None
    assert clip.masks.shape == (2, 3, 64, 64)
    assert torch.equal(clip.frames, ask(0).frames)
    assert not torch.equal(clip.frames, ask(1).frames)


def test_masks_get_the_crop_of_their_frames():
    config = ClipConfig(offsets=(0, 1, 2), crop_px=64)
    for seed in range(5):
        clip = cut(raw(128), config, seed, ObjectChoice(max_area=1.0))
        clip = finish_batch(clip, ObjectChoice(), PasteConfig(), generator=torch.Generator())
        bright = clip.frames[0].mean(dim=1) > 0.45
        assert clip.masks is not None
        masks = clip.masks[0]
        # One of the two halves may be cut away or be too large to be an object.
        found = [bool(((masks == i) == side).float().mean() > 0.95) for i in (1, 2) for side in (bright, ~bright)]
        assert any(found) or masks.max() == 0


def test_without_maps_there_are_no_masks():
    config = ClipConfig(offsets=(0, 1, 2), crop_px=64)
    clip = join_clips([cut(raw(80, maps=False), config, seed) for seed in (0, 1)])
    assert finish_batch(clip, ObjectChoice(), PasteConfig(), generator=torch.Generator()).masks is None
