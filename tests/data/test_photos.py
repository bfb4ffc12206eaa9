from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from selfvos.data.clips import ClipConfig, FrameRange, frame_ranges, load_clip, photographs, plan_batch
from selfvos.data.photos import PhotoConfig, film, glide
from selfvos.data.video_cache import build_video_cache
from selfvos.errors import UsageError
from selfvos.settings import override

PLAIN = PhotoConfig(light=0.0)
RAMP = np.add.outer(np.arange(60) * 2, np.arange(80)).astype(np.uint8)[..., None].repeat(3, axis=2)
"""Brightness rises by 2 a row and 1 a column."""


@settings(deadline=None)
@given(min_side=st.floats(0.3, 1.0), seed=st.integers(0, 99), last=st.integers(1, 20))
def test_the_window_stays_inside_the_picture_and_never_gets_too_small(min_side, seed, last):
    sides, left, top = glide((0, last, 2 * last), min_side, np.random.default_rng(seed)).T
    assert (sides >= min_side - 1e-9).all()
    for corner in (left, top):
        assert (corner >= 0).all()
        assert (corner + sides <= 1 + 1e-9).all()


def test_the_window_moves_smoothly():
    path = glide(range(101), 0.5, np.random.default_rng(3))
    speed = np.diff(path, axis=0)
    assert np.abs(speed).max() > 1e-3
    # A parabola in time: speed changes by the same amount from frame to frame.
    assert np.allclose(np.diff(speed, axis=0), np.diff(speed, axis=0)[0], atol=1e-9)


def test_frames_show_what_the_window_frames():
    frames = film(RAMP, (0, 6, 16), PLAIN, (1, 2)).astype(float)
    windows = glide((0, 6, 16), PLAIN.min_side, np.random.default_rng([1, 2]))
    for frame, (side, left, top) in zip(frames, windows, strict=True):
        centre = 2 * 60 * (top + side / 2) + 80 * (left + side / 2)
        assert frame[29:31, 39:41].mean() == pytest.approx(centre, abs=2.5)
        assert np.diff(frame[20:40, 40, 0]).mean() == pytest.approx(2 * side, abs=0.1)


def test_a_window_as_large_as_the_picture_shows_all_of_it():
    assert np.array_equal(film(RAMP, (0, 1), replace(PLAIN, min_side=1.0), (5,)), np.stack([RAMP] * 2))


def test_light_changes_from_frame_to_frame_and_not_from_run_to_run():
    grey = np.full((40, 40, 3), 128, np.uint8)
    frames = film(grey, (0, 3, 8), PhotoConfig(light=0.3), (7,))
    assert frames.dtype == np.uint8
    assert len({int(frame[0, 0, 0]) for frame in frames}) == 3
    assert np.array_equal(frames, film(grey, (0, 3, 8), PhotoConfig(light=0.3), (7,)))


@pytest.mark.parametrize("wrong", ["photos.share=1", "photos.min_side=0", "photos.min_side=1.1", "photos.light=0.6"])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=wrong.partition("=")[0]):
        override(ClipConfig(), [wrong])


@pytest.fixture(scope="module")
def video_cache(tmp_path_factory):
    """Two videos, a folder of three photographs of unlike sizes, and one photograph in a folder below it."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("a", "b"):
        (root / name).mkdir()
        for t in range(20):
            Image.new("RGB", (48, 40), (12 * t, 60, 90)).save(root / name / f"{t}.png")
    (root / "photos" / "more").mkdir(parents=True)
    for number, size in enumerate([(64, 40), (40, 64), (90, 90)]):
        Image.new("RGB", size, (200, 40 * number, 0)).save(root / "photos" / f"{number}.png")
    Image.new("RGB", (50, 50)).save(root / "photos" / "more" / "0.png")
    return build_video_cache(
        [root], cache=tmp_path_factory.mktemp("cache"), short_side_px=40, min_frames=3, photos=("photos",)
    )


def test_photographs_of_all_sizes_are_found_beside_videos(video_cache):
    stills = [cached for cached in video_cache.videos if cached.still]
    assert [cached.name for cached in stills] == ["photos/0.png", "photos/1.png", "photos/2.png", "photos/more/0.png"]
    assert [cached.frame(0).shape for cached in stills] == [(40, 64, 3), (64, 40, 3), (40, 40, 3), (40, 40, 3)]
    assert [cached.name for cached in video_cache.videos if not cached.still] == ["a", "b"]
    assert video_cache.skipped == ()


def test_a_folder_given_itself_may_hold_the_photographs(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, side in enumerate((40, 50)):
        Image.new("RGB", (side, side)).save(folder / f"{number}.png")
    video_cache = build_video_cache([folder], cache=tmp_path / "cache", short_side_px=40, photos=("photos",))
    assert [cached.name for cached in video_cache.videos] == ["0.png", "1.png"]


def test_without_the_name_a_folder_of_pictures_is_a_video(tmp_path):
    for t in range(3):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "photos" / f"{t}.png")
    video_cache = build_video_cache([tmp_path], cache=tmp_path / "cache", short_side_px=40)
    assert [len(cached) for cached in video_cache.videos] == [3]


def test_a_quarter_of_the_clips_are_photographs_and_each_comes_once_before_any_again(video_cache):
    config = ClipConfig(offsets=(0, 3, 8), frame_step=2)
    usable = [*frame_ranges(video_cache, config), *photographs(video_cache)]
    plans = [plan for step in range(8) for plan in plan_batch(usable, config, seed=1, step=step, batch=4)]
    films = [plan for plan in plans if plan.film]
    assert len(films) == 8
    assert [len([p for p in plans[i : i + 4] if p.film]) for i in range(0, 32, 4)] == [1] * 8
    assert sorted(p.video for p in films[:4]) == sorted(p.video for p in films[4:]) == [s.video for s in usable[2:]]
    assert all(plan.frames == (0, 6, 16) for plan in films)
    assert len({plan.film for plan in films}) == 8


def test_videos_alone_are_planned_as_ever():
    usable = [FrameRange(v, 0, 30) for v in range(5)]
    half = override(ClipConfig(), ["photos.share=0.5"])
    for step in range(4):
        ask = [plan_batch(usable, config, seed=4, step=step, batch=3) for config in (ClipConfig(), half)]
        assert ask[0] == ask[1]


def test_a_planned_photograph_becomes_a_clip(video_cache):
    config = ClipConfig(offsets=(0, 3, 8), frame_step=2)
    usable = [*frame_ranges(video_cache, config), *photographs(video_cache)]
    plan = next(p for p in plan_batch(usable, config, seed=1, step=0, batch=4) if p.film)
    clip = load_clip(video_cache, plan, photos=config.photos)
    cached = video_cache.videos[plan.video]
    assert clip.frames.shape == (3, cached.height, cached.width, 3)
    assert clip.index == (0, 6, 16)
    assert np.array_equal(clip.frames, load_clip(video_cache, plan, photos=config.photos).frames)
