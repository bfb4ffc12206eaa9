import json
import tarfile

import pytest
from tests.tiny import picture, write_video

from selfvos import api
from selfvos.data.shards import extracted, read_index, write_shards
from selfvos.data.video_cache import build_video_cache
from selfvos.errors import DataError, UsageError


@pytest.fixture
def videos(tmp_path):
    for number in range(3):
        write_video(tmp_path / "videos" / "a" / f"clip{number}.mp4", (picture(t + number) for t in range(4)))
    return tmp_path / "videos"


def _named(videos):
    return [(f"a/clip{n}", videos / "a" / f"clip{n}.mp4") for n in range(3)]


def test_a_video_comes_out_of_its_shard_as_it_went_in(videos, tmp_path):
    [shard] = write_shards(_named(videos), tmp_path / "shards")
    members = read_index(shard)
    assert [member.name for member in members] == ["a/clip0", "a/clip1", "a/clip2"]
    for member, (_, path) in zip(members, _named(videos), strict=True):
        with extracted(shard, member) as file:
            assert file.read_bytes() == path.read_bytes()


def test_shards_are_closed_when_they_are_full(videos, tmp_path):
    shards = write_shards(_named(videos), tmp_path / "shards", shard_bytes=1)
    assert [shard.name for shard in shards] == [f"videos-{n:05d}.tar" for n in range(3)]
    assert [read_index(shard)[0].name for shard in shards] == ["a/clip0", "a/clip1", "a/clip2"]


def test_the_reader_of_webdataset_finds_the_same_samples(videos, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    [shard] = write_shards(_named(videos), tmp_path / "shards")
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    assert [json.loads(sample["json"])["name"] for sample in samples] == ["a/clip0", "a/clip1", "a/clip2"]
    assert [sample["mp4"] for sample in samples] == [path.read_bytes() for _, path in _named(videos)]


def test_a_shard_of_webdataset_is_read(videos, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "theirs.tar")) as writer:
        for key, path in _named(videos):
            writer.write({"__key__": key, "mp4": path.read_bytes(), "json": {"caption": "a square"}})
    assert [member.name for member in read_index(tmp_path / "theirs.tar")] == [f"a/clip{n}.mp4" for n in range(3)]


def test_training_sees_the_same_frames_from_shards_as_from_files(videos, tmp_path):
    write_shards(_named(videos), tmp_path / "shards", shard_bytes=1)
    for root in (tmp_path / "shards", tmp_path / "shards" / "*.tar"):
        from_shards = build_video_cache([root], cache=tmp_path / "cache", short_side_px=64)
        from_files = build_video_cache([videos], cache=tmp_path / "cache", short_side_px=64)
        assert [video.identity for video in from_shards.videos] == [video.identity for video in from_files.videos]
        assert [video.name for video in from_shards.videos] == ["a/clip0", "a/clip1", "a/clip2"]
        assert from_shards.skipped == ()


def test_an_index_that_is_gone_or_of_another_shard_is_made_anew(videos, tmp_path):
    first, second = write_shards(_named(videos)[:2], tmp_path / "shards", shard_bytes=1)
    index = first.with_name(first.name + ".index.json")
    for content in ("", "{}", second.with_name(second.name + ".index.json").read_text()):
        index.write_text(content)
        assert [member.name for member in read_index(first)] == ["a/clip0"] or content.startswith('{\n "format"')
    index.unlink()
    assert [member.name for member in read_index(first)] == ["a/clip0"]
    assert index.is_file()


def test_a_shard_that_broke_off_is_named_and_the_others_are_used(videos, tmp_path):
    first, _ = write_shards(_named(videos)[:2], tmp_path / "shards", shard_bytes=1)
    first.write_bytes(first.read_bytes()[:3000])
    with pytest.raises(DataError, match="videos-00000.tar"):
        read_index(first)
    cached = build_video_cache([tmp_path / "shards"], cache=tmp_path / "cache", short_side_px=64)
    assert [video.name for video in cached.videos] == ["a/clip1"]
    assert "videos-00000.tar" in cached.skipped[0][0]


def test_a_member_cannot_leave_the_folder_it_is_unpacked_to(videos, tmp_path):
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as tar:
        tar.add(videos / "a" / "clip0.mp4", arcname="../../escaped.mp4")
        link = tarfile.TarInfo("link.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    [member] = read_index(evil)  # the link is no video
    with extracted(evil, member) as file:
        assert file.name == "video.mp4"
    assert not (tmp_path.parent / "escaped.mp4").exists()


def test_the_function_says_what_it_packed_and_refuses_a_second_time(videos, tmp_path):
    packed = api.pack_videos(videos, tmp_path / "shards")
    assert (packed.videos, len(packed.shards), packed.left_out) == (3, 1, ())
    assert packed.table().startswith("3 videos in 1 shards")
    with pytest.raises(UsageError, match="holds shards already"):
        api.pack_videos(videos, tmp_path / "shards")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        api.pack_videos(tmp_path / "empty", tmp_path / "none")
