import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfvos.data import video_cache
from selfvos.data.mask_png import write_mask
from selfvos.data.training_videos import FoundVideo
from selfvos.data.video_cache import build_video_cache, cache_video, default_cache
from selfvos.errors import DataError, Stopped
from selfvos.types import Watching


def folder_of_frames(path, count=5, size=(40, 60), seed=0):
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for t in range(count):
        blocks = rng.integers(0, 256, (size[0] // 10, size[1] // 10, 3), dtype=np.uint8)
        Image.fromarray(blocks.repeat(10, 0).repeat(10, 1)).save(path / f"{t}.png")
    return path


def test_frames_come_back_in_order_nearly_as_they_were(tmp_path):
    folder = folder_of_frames(tmp_path / "video", count=12)
    pack = cache_video(FoundVideo("video", folder), cache=tmp_path / "cache", short_side_px=320)
    assert (len(pack), pack.height, pack.width) == (12, 40, 60)
    for t in (11, 0, 10):
        truth = np.asarray(Image.open(folder / f"{t}.png")).astype(int)
        centres = (slice(5, None, 10), slice(5, None, 10))
        assert np.abs(pack.frame(t).astype(int)[centres] - truth[centres]).mean() < 6


def test_large_frames_are_reduced_and_small_ones_never_enlarged(tmp_path):
    folder = folder_of_frames(tmp_path / "video", size=(80, 120))
    small = cache_video(FoundVideo("v", folder), cache=tmp_path / "cache", short_side_px=40)
    same = cache_video(FoundVideo("v", folder), cache=tmp_path / "cache", short_side_px=320)
    assert small.frame(0).shape == (40, 60, 3)
    assert same.frame(0).shape == (80, 120, 3)


def test_a_packed_video_is_not_decoded_again_until_it_changes(tmp_path, monkeypatch):
    folder = folder_of_frames(tmp_path / "video")
    first = cache_video(FoundVideo("v", folder), cache=tmp_path / "cache", short_side_px=320)

    def decode(path):
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr("selfvos.data.video_cache.open_apart", decode)
        assert cache_video(FoundVideo("v", folder), cache=tmp_path / "cache", short_side_px=320) == first
    Image.new("RGB", (60, 40)).save(folder / "9.png")
    assert len(cache_video(FoundVideo("v", folder), cache=tmp_path / "cache", short_side_px=320)) == 6


def test_a_pack_that_was_cut_short_is_made_again(tmp_path):
    folder = folder_of_frames(tmp_path / "video")
    first = cache_video(FoundVideo("v", folder), cache=tmp_path / "cache", short_side_px=320)
    first.path.write_bytes(first.path.read_bytes()[:200])
    assert cache_video(FoundVideo("v", folder), cache=tmp_path / "cache", short_side_px=320) == first


def test_broken_and_short_videos_are_named_and_left_out(tmp_path):
    root = tmp_path / "videos"
    folder_of_frames(root / "b" / "deep")
    folder_of_frames(root / "a")
    folder_of_frames(root / "short", count=2)
    (root / "empty.mp4").write_bytes(b"")
    (root / "junk.mp4").write_bytes(b"not a video" * 50)
    seen = []
    video_cache = build_video_cache(
        [root],
        cache=tmp_path / "cache",
        short_side_px=320,
        min_frames=3,
        watch=Watching(lambda *told: seen.append(told)),
    )
    assert [pack.name for pack in video_cache.videos] == ["a", "b/deep"]
    assert {name for name, _ in video_cache.skipped} == {"short", "empty.mp4", "junk.mp4"}
    assert video_cache.frames() == 10
    assert seen[-1] == ("decoding videos", 5, 5)


def test_a_dangling_link_among_the_frames_costs_nothing_but_itself(tmp_path):
    root = tmp_path / "videos"
    folder_of_frames(root / "clip")
    folder_of_frames(root / "ok")
    (root / "clip" / "99999.jpg").symlink_to("/nonexistent/a.jpg")
    video_cache = build_video_cache([root, tmp_path / "videos" / "ok"], cache=tmp_path / "cache", short_side_px=320)
    assert [len(pack) for pack in video_cache.videos] == [5, 5]
    assert video_cache.skipped == (("clip/99999.jpg", "a link to nothing"), ("ok", f"the same as {root / 'ok'}"))
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


def test_videos_of_one_name_are_told_apart_whatever_the_order_of_their_folders(tmp_path):
    for seed, place in enumerate(("day1/clip", "day2/clip", "day2/other", "deep/day1/clip")):
        folder_of_frames(tmp_path / place, seed=seed)
    roots = [tmp_path / "day1", tmp_path / "day2", tmp_path / "deep" / "day1"]
    caches = [build_video_cache(order, cache=tmp_path / "cache", short_side_px=320) for order in (roots, roots[::-1])]
    names = [cached.name for cached in caches[0].videos]
    assert names == sorted(["deep/day1/clip", f"{tmp_path.name}/day1/clip", "day2/clip", "other"])
    assert caches[0] == caches[1]
    assert len({cached.identity for cached in caches[0].videos}) == 4


def test_a_video_is_known_by_its_frames_wherever_it_lies(tmp_path):
    here, there = folder_of_frames(tmp_path / "a"), folder_of_frames(tmp_path / "b" / "a")
    one, other = (
        cache_video(FoundVideo("a", folder), cache=tmp_path / "cache", short_side_px=320) for folder in (here, there)
    )
    assert one.path != other.path
    assert one.identity == other.identity
    assert one.frames == ("0", "1", "2", "3", "4")


def test_a_flipped_byte_is_noticed_wherever_it_is_and_the_file_made_again(tmp_path, caplog):
    video = FoundVideo("v", folder_of_frames(tmp_path / "video"))
    first = cache_video(video, cache=tmp_path / "cache", short_side_px=320)
    whole = first.path.read_bytes()
    for place in [*range(0, len(whole), len(whole) // 20), len(whole) - 1]:
        caplog.clear()
        first.path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert cache_video(video, cache=tmp_path / "cache", short_side_px=320) == first
        assert first.path.read_bytes() == whole
        assert first.path.name in caplog.text


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b"0" * 5000), lambda path: path.unlink()])
def test_a_file_that_is_lost_while_it_is_used_is_made_anew(tmp_path, caplog, harm):
    video = FoundVideo("v", folder_of_frames(tmp_path / "video"))
    cached = cache_video(video, cache=tmp_path / "cache", short_side_px=320)
    before, whole = cached.frame(3), cached.path.read_bytes()
    harm(cached.path)
    assert np.array_equal(cached.frame(3), before)
    assert cached.path.read_bytes() == whole
    assert f"v: cache file {cached.path} was removed or damaged" in caplog.text


def test_a_file_is_made_anew_once_for_all_threads(tmp_path, monkeypatch):
    video = FoundVideo("v", folder_of_frames(tmp_path / "video"))
    cached = cache_video(video, cache=tmp_path / "cache", short_side_px=320)
    before = [cached.frame(i) for i in range(5)]
    cached.path.unlink()
    made = []
    write = video_cache._write
    monkeypatch.setattr(video_cache, "_write", lambda *given: made.append(given) or write(*given))
    with ThreadPoolExecutor(8) as pool:
        after = list(pool.map(cached.frame, range(5)))
    assert np.array_equal(before, after)
    assert len(made) == 1


def test_frames_of_another_video_never_take_the_place_of_those_that_are_lost(tmp_path):
    folder = folder_of_frames(tmp_path / "video")
    cached = cache_video(FoundVideo("v", folder), cache=tmp_path / "cache", short_side_px=320)
    cached.path.unlink()
    Image.new("RGB", (60, 40)).save(folder / "3.png")
    with pytest.raises(DataError, match=f"{cached.path.name} of v .*the video has changed.*bring the video back"):
        cached.frame(0)
    shutil.rmtree(folder)
    with pytest.raises(DataError, match=f"{cached.path.name} of v was removed or damaged, and cannot be made anew"):
        cached.frame(0)


def test_without_a_home_the_cache_is_in_a_temporary_folder_and_that_is_told(tmp_path, monkeypatch, caplog):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    found = default_cache()
    assert found.is_dir()
    assert found.is_relative_to(tmp_path)
    assert "no home folder" in caplog.text
    caplog.clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own" / "selfvos" / "videos"
    assert not caplog.text


def test_a_stop_ends_decoding_and_keeps_what_was_done(tmp_path):
    for name in "abc":
        folder_of_frames(tmp_path / "videos" / name)
    told = []
    watch = Watching(lambda *at: told.append(at), lambda: bool(told))
    with pytest.raises(Stopped):
        build_video_cache([tmp_path / "videos"], cache=tmp_path / "cache", short_side_px=320, watch=watch)
    assert 1 <= len(list((tmp_path / "cache").glob("*.pack"))) <= 3
    assert not list((tmp_path / "cache").glob(".*.tmp*"))


def test_processes_that_start_together_decode_each_video_once(tmp_path):
    """Two at once, as torchrun starts them: each video is decoded by one of them and found by the other."""
    for name in ("a", "b"):
        folder_of_frames(tmp_path / "videos" / name)
    program = """
import sys, time
from pathlib import Path
from selfvos.data import video_cache
plain = video_cache._write
def slow(*args):
    print("decoded", flush=True)
    time.sleep(0.5)
    plain(*args)
video_cache._write = slow
input()
video_cache.build_video_cache([sys.argv[1]], cache=Path(sys.argv[2]), short_side_px=64)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "videos"), str(tmp_path / "cache")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert "".join(told).count("decoded") == 2
    assert len(list((tmp_path / "cache").glob("*.pack"))) == 2
