import os
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from selfvos.data.drawn_ids import palette
from selfvos.data.kinds import VIDEOS
from selfvos.data.listing import find_videos, summary
from selfvos.data.mask_png import write_mask
from selfvos.data.video import VideoFile
from selfvos.data.video_writer import VideoWriter
from selfvos.errors import DataError, UsageError

MASK = np.kron([[0, 1], [2, 0]], np.ones((8, 8), int)).astype(np.uint8)


def save(folder: Path, count: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(np.full((6, 8, 3), 9 * i, np.uint8)).save(folder / f"{i}.jpg")
    return folder


def save_video(path: Path) -> Path:
    with VideoWriter(path) as writer:
        for i in range(3):
            writer.write(np.full((16, 16, 3), 20 * i, np.uint8))
    return path


def below(root: Path) -> tuple[list[str], dict[str, str]]:
    found = find_videos(root)
    reasons = {str(one.path.relative_to(root)): one.reason for one in found.left_out}
    return [str(path.relative_to(root)) for path in found.videos], reasons


def test_all_videos_below_a_folder_are_found_in_natural_order(tmp_path):
    for name in ("clips/b10.mp4", "clips/b9.MOV", "clips/b11.TS", "clips/._b9.MOV", "clips/readme.txt", "clips/.notes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    save(tmp_path / "JPEGImages/480p/dog")
    save(tmp_path / "JPEGImages/480p/cat")
    save(tmp_path / "Annotations/480p/cat")
    save(tmp_path / ".cache/x")
    videos, left_out = below(tmp_path)
    assert videos == ["clips/b9.MOV", "clips/b10.mp4", "clips/b11.TS", "JPEGImages/480p/cat", "JPEGImages/480p/dog"]
    assert left_out == {
        ".cache": "hidden",
        "Annotations": "masks, not frames",
        "clips/._b9.MOV": "hidden",
        "clips/readme.txt": "neither video nor picture by its name",
    }


@pytest.mark.parametrize("suffix", ["ts", "gif", "nut", "mkv", "avi", "mov"])
def test_what_tracking_opens_is_found(tmp_path, suffix):
    codec = {"gif": "gif", "ts": "mpeg2video"}.get(suffix, "mpeg4")
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "rgb8" if suffix == "gif" else "yuv420p"
        for i in range(10):
            noise = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            picture = av.VideoFrame.from_ndarray(noise, format="rgb24")
            container.mux(stream.encode(picture.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    found = find_videos(tmp_path)
    assert [path.name for path in found.videos] == [f"a.{suffix}"]
    assert len(list(VideoFile(found.videos[0]))) == 10
    assert f".{suffix}" in VIDEOS


def grey_masks(folder: Path) -> None:
    Image.fromarray(MASK).save(folder / "0.png")


def white_masks(folder: Path) -> None:
    Image.fromarray((MASK > 0).astype(np.uint8) * 255).save(folder / "0.png")


def one_bit_masks(folder: Path) -> None:
    Image.fromarray(MASK > 0).save(folder / "0.png")


def palette_masks(folder: Path) -> None:
    write_mask(folder / "0.png", MASK)


def deep_masks(folder: Path) -> None:
    write_mask(folder / "0.png", MASK.astype(int) * 300)


def short_palette_masks(folder: Path) -> None:
    image = Image.fromarray(MASK)
    image.putpalette(palette()[:3].tobytes())
    image.save(folder / "0.png")


@pytest.mark.parametrize(
    "make", [grey_masks, white_masks, one_bit_masks, palette_masks, deep_masks, short_palette_masks]
)
def test_masks_are_not_taken_for_frames(tmp_path, make):
    save(tmp_path / "frames" / "dog")
    (tmp_path / "masks" / "dog").mkdir(parents=True)
    make(tmp_path / "masks" / "dog")
    (tmp_path / "masks" / "dog" / "1.png").write_bytes((tmp_path / "masks" / "dog" / "0.png").read_bytes())
    assert below(tmp_path) == (["frames/dog"], {"masks/dog": "masks, not frames"})


def test_masks_that_lose_their_object_on_the_way_are_masks(tmp_path):
    save(tmp_path / "frames")
    (tmp_path / "masks").mkdir()
    for i in range(5):
        Image.fromarray(MASK * (i == 0)).save(tmp_path / "masks" / f"{i}.png")
    assert below(tmp_path) == (["frames"], {"masks": "masks, not frames"})


def test_grey_dark_and_palette_pictures_that_are_no_masks_are_taken(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (16, 16), dtype=np.uint8)
    for name, image in (
        ("grey", Image.fromarray(noise)),
        ("dark", Image.fromarray(noise // 10)),
        ("screen", Image.fromarray(noise).quantize(64)),
        ("deep", Image.fromarray(noise.astype(np.uint16) * 16)),
        ("black", Image.fromarray(noise * 0)),
        ("photons", Image.fromarray((noise > 250).astype(np.uint8))),
    ):
        (tmp_path / name).mkdir()
        for i in range(2):
            image.save(tmp_path / name / f"{i}.png")
    assert below(tmp_path) == (["black", "dark", "deep", "grey", "photons", "screen"], {})


@pytest.mark.parametrize("mark", [("track.json",), ("overlay.mp4", "masks")])
def test_results_of_earlier_tracks_are_not_taken(tmp_path, mark):
    save_video(tmp_path / "clips" / "a.mp4")
    result = tmp_path / "result"
    (result / "masks").mkdir(parents=True)
    write_mask(result / "masks" / "0.png", MASK)
    for name in mark:
        if name != "masks":
            save_video(result / "overlay.mp4").rename(result / name)
    assert below(tmp_path) == (["clips/a.mp4"], {"result": "result of an earlier track"})


def test_one_bad_thing_stops_nothing_and_is_named(tmp_path):
    save(tmp_path / "clip")
    os.symlink(tmp_path / "gone.jpg", tmp_path / "clip" / "99999.jpg")
    os.symlink(tmp_path / "gone.mp4", tmp_path / "b.mp4")
    os.mkfifo(tmp_path / "c.mp4")
    save(tmp_path / "alone", count=1)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.tif").write_bytes(b"junk")
    videos, left_out = below(tmp_path)
    assert videos == ["clip"]
    assert left_out.pop("broken/a.tif").startswith(str(tmp_path / "broken" / "a.tif") + " cannot be read")
    assert left_out == {
        "alone/0.jpg": "a single picture",
        "b.mp4": "a link to nothing",
        "c.mp4": "not a regular file",
        "clip/99999.jpg": "a link to nothing",
    }


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    save(tmp_path / "a")
    save(tmp_path / "secret")
    really = os.listdir

    def listdir(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert below(tmp_path) == (["a"], {"secret": "cannot be listed: Permission denied"})


def test_stacks_are_videos_of_their_own(tmp_path):
    pages = [Image.fromarray(np.full((6, 8), i, np.uint8)) for i in range(3)]
    for name in ("a.tif", "b.tif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "c.tif")
    assert below(tmp_path) == (["a.tif", "b.tif"], {"c.tif": "a single picture"})
    assert find_videos(tmp_path / "a.tif").videos == (tmp_path / "a.tif",)


def test_a_folder_of_pictures_is_itself_a_video(tmp_path):
    assert find_videos(str(save(tmp_path / "walk"))).videos == (tmp_path / "walk",)
    assert find_videos(save_video(tmp_path / "a.mp4")).videos == (tmp_path / "a.mp4",)
    with pytest.raises(DataError, match="single picture"):
        find_videos(tmp_path / "walk" / "0.jpg")


def test_links_are_followed_but_not_in_circles(tmp_path):
    save(tmp_path / "elsewhere/dog")
    root = tmp_path / "root"
    root.mkdir()
    os.symlink(tmp_path / "elsewhere", root / "linked")
    os.symlink(root, root / "circle")
    assert find_videos(root).videos == (root / "linked" / "dog",)


def test_nothing_to_learn_from_is_an_error_that_says_what_was_there(tmp_path):
    with pytest.raises(DataError, match="no videos below .*neither video files"):
        find_videos(tmp_path)
    save(tmp_path / "alone", count=1)
    with pytest.raises(DataError, match=r"left out: alone/0\.jpg \(a single picture\)"):
        find_videos(tmp_path)
    for name in ("nothing", "x" * 5000):
        with pytest.raises(UsageError, match="no such folder"):
            find_videos(tmp_path / name)


def test_a_summary_names_the_first_the_last_and_every_reason():
    left_out = [(f"{i}.txt", "no video") for i in range(5)] + [("b", "masks")]
    assert summary(["a/1.mp4", "a/2.mp4", "z.mp4"], left_out) == (
        "3 videos taken: a/1.mp4 to z.mp4; left out: 0.txt, 1.txt, 2.txt and 2 more (no video); b (masks)"
    )
    assert summary(["a.mp4"], []) == "1 video taken: a.mp4; nothing left out"
    assert summary([], [("a", "b")]) == "0 videos taken; left out: a (b)"
