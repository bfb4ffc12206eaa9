import numpy as np
import pytest
from PIL import Image

from selfvos.data.mask_png import write_mask
from selfvos.data.video_cache import build_video_cache, cache_video
from selfvos.errors import DataError


def folder_of_frames(path, count=5, size=(40, 60), seed=0):
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for t in range(count):
        blocks = rng.integers(0, 256, (size[0] // 10, size[1] // 10, 3), dtype=np.uint8)
        Image.fromarray(blocks.repeat(10, 0).repeat(10, 1)).save(path / f"{t}.png")
    return path


def test_frames_come_back_in_order_nearly_as_they_were(tmp_path):
    folder = folder_of_frames(tmp_path / "video", count=12)
    pack = cache_video(folder, name="video", cache=tmp_path / "cache", short_side_px=320)
    assert (len(pack), pack.height, pack.width) == (12, 40, 60)
    for t in (11, 0, 10):
        truth = np.asarray(Image.open(folder / f"{t}.png")).astype(int)
        centres = (slice(5, None, 10), slice(5, None, 10))
        assert np.abs(pack.frame(t).astype(int)[centres] - truth[centres]).mean() < 6


def test_large_frames_are_reduced_and_small_ones_never_enlarged(tmp_path):
    folder = folder_of_frames(tmp_path / "video", size=(80, 120))
    small = cache_video(folder, name="v", cache=tmp_path / "cache", short_side_px=40)
    same = cache_video(folder, name="v", cache=tmp_path / "cache", short_side_px=320)
    assert small.frame(0).shape == (40, 60, 3)
    assert same.frame(0).shape == (80, 120, 3)


def test_a_packed_video_is_not_decoded_again_until_it_changes(tmp_path, monkeypatch):
    folder = folder_of_frames(tmp_path / "video")
    first = cache_video(folder, name="v", cache=tmp_path / "cache", short_side_px=320)

    def decode(path):
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr("selfvos.data.video_cache.open_source", decode)
        assert cache_video(folder, name="v", cache=tmp_path / "cache", short_side_px=320) == first
    Image.new("RGB", (60, 40)).save(folder / "9.png")
    assert len(cache_video(folder, name="v", cache=tmp_path / "cache", short_side_px=320)) == 6


def test_a_pack_that_was_cut_short_is_made_again(tmp_path):
    folder = folder_of_frames(tmp_path / "video")
    first = cache_video(folder, name="v", cache=tmp_path / "cache", short_side_px=320)
    first.path.write_bytes(first.path.read_bytes()[:200])
    assert cache_video(folder, name="v", cache=tmp_path / "cache", short_side_px=320) == first


def test_broken_and_short_videos_are_named_and_left_out(tmp_path):
    root = tmp_path / "videos"
    folder_of_frames(root / "b" / "deep")
    folder_of_frames(root / "a")
    folder_of_frames(root / "short", count=2)
    (root / "empty.mp4").write_bytes(b"")
    (root / "junk.mp4").write_bytes(b"not a video" * 50)
    seen = []
    video_cache = build_video_cache(
        [root], cache=tmp_path / "cache", short_side_px=320, min_frames=3, progress=lambda *at: seen.append(at)
    )
    assert [pack.name for pack in video_cache.videos] == ["a", "b/deep"]
    assert {name for name, _ in video_cache.skipped} == {"short", "empty.mp4", "junk.mp4"}
    assert video_cache.frames() == 10
    assert seen[-1] == (5, 5)


def test_a_dangling_link_among_the_frames_costs_nothing_but_itself(tmp_path):
    root = tmp_path / "videos"
    folder_of_frames(root / "clip")
    folder_of_frames(root / "ok")
    (root / "clip" / "99999.jpg").symlink_to("/nonexistent/a.jpg")
    video_cache = build_video_cache([root, tmp_path / "videos" / "ok"], cache=tmp_path / "cache", short_side_px=320)
    assert [len(pack) for pack in video_cache.videos] == [5, 5, 5]
    assert video_cache.skipped == (("clip/99999.jpg", "a link to nothing"),)
    assert "left out: clip/99999.jpg (a link to nothing)" in video_cache.summary()


def test_a_root_without_a_video_does_not_stop_the_others(tmp_path):
    folder_of_frames(tmp_path / "a" / "clip")
    (tmp_path / "b").mkdir()
    video_cache = build_video_cache([tmp_path / "a", tmp_path / "b"], cache=tmp_path / "cache", short_side_px=320)
    assert [pack.name for pack in video_cache.videos] == ["clip"]
    assert [name for name, _ in video_cache.skipped] == [str(tmp_path / "b")]


def test_masks_and_results_are_not_learned_from(tmp_path):
    folder_of_frames(tmp_path / "d" / "frames" / "dog")
    (tmp_path / "d" / "masks" / "dog").mkdir(parents=True)
    for t in range(5):
        write_mask(tmp_path / "d" / "masks" / "dog" / f"{t}.png", np.eye(40, 60, dtype=np.uint8))
    video_cache = build_video_cache([tmp_path / "d"], cache=tmp_path / "cache", short_side_px=320)
    assert [pack.name for pack in video_cache.videos] == ["frames/dog"]
    assert video_cache.skipped == (("masks/dog", "masks, not frames"),)


def test_a_folder_without_a_usable_video_is_refused(tmp_path):
    (tmp_path / "junk.mp4").write_bytes(b"junk")
    with pytest.raises(DataError, match="no usable video"):
        build_video_cache([tmp_path], cache=tmp_path / "cache", short_side_px=320)
