import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfvos.data import pictures
from selfvos.data.source import Source, open_image, open_source, read_image
from selfvos.data.video_writer import VideoWriter
from selfvos.errors import BrokenVideo, DataError, UsageError


def save(path: Path, value: int = 0, size: tuple[int, int] = (6, 8), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path, **options)
    return path


def save_video(path: Path, count: int = 3) -> Path:
    with VideoWriter(path, fps=12.5) as writer:
        for i in range(count):
            writer.write(np.full((16, 16, 3), 20 * i, np.uint8))
    return path


def test_a_folder_gives_its_pictures_in_natural_order(tmp_path):
    for number in (10, 9, 1, 100):
        save(tmp_path / "walk" / f"frame{number}.png", number)
    folder = open_source(tmp_path / "walk", fps=10.0)
    frames = list(folder)
    assert isinstance(folder, Source)
    assert (folder.name, folder.size, folder.fps, folder.count, folder.partial) == ("walk", (6, 8), 10.0, 4, False)
    assert [frame.name for frame in frames] == ["frame1", "frame9", "frame10", "frame100"]
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [1, 9, 10, 100]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    np.testing.assert_allclose([frame.seconds for frame in frames], [0, 0.1, 0.2, 0.3])
    assert [frame.name for frame in folder] == [frame.name for frame in frames]


def test_every_usual_suffix_counts_and_other_files_do_not(tmp_path):
    names = ["1.jpg", "2.JPEG", "3.png", "4.bmp", "5.webp", "6.tif", "7.TIFF"]
    for name in names:
        save(tmp_path / name)
    save(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / "8.png").mkdir()
    assert [frame.name for frame in open_source(str(tmp_path))] == [str(i) for i in range(1, 8)]


def test_a_folder_without_pictures_says_what_it_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BrokenVideo, match=r"no pictures .*\.jpg.*\.png"):
        open_source(tmp_path)


def test_a_picture_of_another_size_is_named(tmp_path):
    save(tmp_path / "1.png")
    save(tmp_path / "2.png", size=(6, 9))
    frames = iter(open_source(tmp_path))
    assert next(frames).name == "1"
    with pytest.raises(DataError, match=r"2\.png is 6x9, the first picture is 6x8"):
        next(frames)


def test_a_damaged_picture_is_named(tmp_path):
    save(tmp_path / "1.png")
    whole = save(tmp_path / "2.png", size=(6, 8)).read_bytes()
    for content in (b"", b"junk", whole[: len(whole) // 2], whole[:40] + bytes(8) + whole[48:]):
        (tmp_path / "2.png").write_bytes(content)
        with pytest.raises(DataError, match=r"2\.png cannot be read") as caught:
            list(open_source(tmp_path))
        assert "\n" not in str(caught.value)


def test_two_pictures_of_one_name_are_refused(tmp_path):
    save(tmp_path / "1.png")
    save(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=r"1\.\w+ and 1\.\w+ would be the same frame"):
        open_source(tmp_path)


def test_a_lying_photograph_is_turned_upright(tmp_path):
    rgb = np.zeros((6, 8, 3), np.uint8)
    rgb[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to display
    Image.fromarray(rgb).save(tmp_path / "1.png", exif=exif)
    folder = open_source(tmp_path)
    assert folder.size == (8, 6)
    np.testing.assert_array_equal(next(iter(folder)).rgb, np.rot90(rgb, -1))


def test_grey_palette_and_transparent_pictures_become_rgb(tmp_path):
    rgb = Image.fromarray(np.full((6, 8, 3), 77, np.uint8))
    for i, mode in enumerate(("L", "P", "RGBA", "LA", "1", "CMYK")):
        rgb.convert(mode).save(tmp_path / f"{i}.{'tif' if mode == 'CMYK' else 'png'}")
    shapes = {frame.rgb.shape for frame in open_source(tmp_path)}
    assert shapes == {(6, 8, 3)}
    assert (read_image(tmp_path / "0.png") == 77).all()


def test_deep_grey_is_spread_alike_over_the_whole_sequence(tmp_path):
    ramp = np.linspace(1000, 3000, 48).reshape(6, 8).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "1.png")
    Image.fromarray(ramp // 2).save(tmp_path / "2.png")
    first, second = (frame.rgb for frame in open_source(tmp_path))
    assert first.dtype == np.uint8
    assert first.max() >= 254
    assert second.min() <= 1
    # From 500 to 3000: 1500 is two fifths of the way, in whichever picture.
    assert abs(int(second.max()) - 102) <= 2
    assert abs(int(first.min()) - 51) <= 2


def test_a_dark_first_picture_does_not_make_the_others_white(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(80):
        low, high = (95, 105) if i == 0 else (0, 4000)
        Image.fromarray(rng.integers(low, high, (6, 8)).astype(np.uint16)).save(tmp_path / f"{i}.tif")
    frames = [frame.rgb for frame in open_source(tmp_path)]
    assert frames[0].max() < 10
    assert np.mean([(rgb == 255).mean() for rgb in frames]) < 0.02
    np.testing.assert_array_equal(next(open_source(tmp_path).frames(41)).rgb, frames[41])


def test_deep_pictures_after_others_are_spread_alike_too(tmp_path):
    Image.fromarray(np.full((6, 8), 9, np.uint8)).save(tmp_path / "0.png")
    for i, level in ((1, 1000), (2, 2000)):
        Image.fromarray(np.linspace(0, level, 48).reshape(6, 8).astype(np.uint16)).save(tmp_path / f"{i}.png")
    grey, half, full = (frame.rgb for frame in open_source(tmp_path))
    assert (grey == 9).all()
    assert abs(int(half.max()) - 127) <= 2
    assert full.max() >= 254


def test_floating_point_pictures_are_spread_too(tmp_path):
    Image.fromarray(np.linspace(-1, 1, 48, dtype=np.float32).reshape(6, 8)).save(tmp_path / "1.tif")
    rgb = read_image(tmp_path / "1.tif")
    assert rgb.min() <= 1
    assert rgb.max() >= 254
    assert (np.diff(rgb[0, :, 0].astype(int)) > 0).all()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    save(tmp_path / "1.png")
    monkeypatch.setattr(pictures, "MOST_PIXELS", 47)
    with pytest.raises(DataError, match="48 pixels, more than 47"):
        open_source(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # Pillow itself raises above twice its limit
    with pytest.raises(DataError, match=r"1\.png cannot be read"):
        open_source(tmp_path)


def test_a_video_file_keeps_its_own_rate(tmp_path):
    video = open_source(save_video(tmp_path / "a.mp4"), fps=99.0)
    assert isinstance(video, Source)
    assert (video.name, video.size, video.fps, video.count) == ("a", (16, 16), 12.5, 3)
    assert len(list(video)) == 3


def test_arrays_are_frames(tmp_path):
    arrays = [np.full((4, 5, 3), i, np.uint8) for i in range(3)]
    from_list, from_array = open_source(arrays, fps=10.0), open_source(np.stack(arrays))
    assert isinstance(from_list, Source)
    assert (from_list.size, from_list.count, from_list.fps) == ((4, 5), 3, 10.0)
    assert (from_array.size, from_array.count, from_array.fps) == ((4, 5), 3, 25.0)
    for opened in (from_list, from_list, from_array):
        assert [int(frame.rgb[0, 0, 0]) for frame in opened] == [0, 1, 2]
    assert [frame.name for frame in from_list] == ["00000", "00001", "00002"]


def test_an_endless_iterator_is_read_only_as_far_as_asked():
    taken = []

    def camera():
        while True:
            taken.append(len(taken))
            yield np.zeros((4, 5, 3), np.uint8)

    stream = open_source(camera())
    assert (stream.size, stream.count) == (None, None)
    frames = iter(stream)
    assert [next(frames).index, next(frames).index] == [0, 1]
    assert taken == [0, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 5, 3), np.float32),
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((9, 9, 3), np.uint8),
    ],
    ids=["float", "grey", "rgba", "size"],
)
def test_unfit_arrays_are_refused_by_their_number(wrong):
    arrays = (array for array in (np.zeros((4, 5, 3), np.uint8), wrong))
    with pytest.raises(DataError, match="frame 1 is"):
        list(open_source(arrays))


def test_wrong_calls_are_told_apart(tmp_path):
    with pytest.raises(UsageError, match="single picture"):
        open_source(save(tmp_path / "1.png"))
    with pytest.raises(UsageError, match="no such file"):
        open_source(tmp_path / "nothing")
    with pytest.raises(UsageError, match="fps"):
        open_source(tmp_path, fps=0.0)
    with pytest.raises(UsageError, match="no such file"), open_image(tmp_path / "nothing.png"):
        pass
    for name in ("x" * 5000, "a\0b", "line\nbreak.mp4"):
        with pytest.raises(UsageError, match="no such file") as caught:
            open_source(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_pipes_and_companions_of_macos_are_passed_over(tmp_path):
    for name in ("1.PNG", "2.png"):
        save(tmp_path / name)
    (tmp_path / "._1.PNG").write_bytes(b"\0\5\x16\7junk")
    os.mkfifo(tmp_path / "3.png")
    os.symlink(tmp_path / "gone.png", tmp_path / "4.png")
    assert [frame.name for frame in open_source(tmp_path)] == ["1", "2"]
    with pytest.raises(DataError, match="not a regular file"):
        read_image(tmp_path / "3.png")


def test_a_picture_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    save(tmp_path / "1.png")

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", forbidden)
    with pytest.raises(DataError, match=r"1\.png may not be read: permission denied"):
        open_source(tmp_path)


def sources(folder: Path) -> dict[str, Source]:
    """Make one source of each kind, of 7 frames of one shade each."""
    shades = [np.full((16, 16, 3), 30 * i, np.uint8) for i in range(7)]
    for i, rgb in enumerate(shades):
        (folder / "walk").mkdir(exist_ok=True)
        Image.fromarray(rgb).save(folder / "walk" / f"{i}.png")
    first, *others = [Image.fromarray(rgb) for rgb in shades]
    first.save(folder / "stack.tif", save_all=True, append_images=others)
    first.save(folder / "moving.webp", save_all=True, append_images=others, lossless=True, duration=40)
    first.save(folder / "moving.png", save_all=True, append_images=others, duration=40)
    first.save(folder / "moving.gif", save_all=True, append_images=others, duration=40)
    with VideoWriter(folder / "clip.mp4") as writer:
        for rgb in shades:
            writer.write(rgb)
    files = ("walk", "stack.tif", "moving.webp", "moving.png", "moving.gif", "clip.mp4")
    return {**{name: open_source(folder / name) for name in files}, "list": open_source(shades)}


SPANS = [(None, None, 1), (0, None, 1), (2, 5, 1), (None, 3, 1), (1, 7, 3), (None, None, -1), (4, 1, -1), (3, None, -1)]
SPANS += [(6, 0, -3), (2, 2, 1), (5, 2, 1), (0, None, -1), (6, None, 1), (2, 99, 2), (1, -1, -1), (None, 0, 1)]


def test_every_source_gives_any_frames_under_their_own_numbers(tmp_path):
    for name, opened in sources(tmp_path).items():
        whole = list(opened)
        assert isinstance(opened, Source)
        assert opened.exact_count() == len(whole) == 7, name
        assert opened.pixel_aspect == 1
        assert opened.sound is None
        assert [frame.seconds for frame in whole] == pytest.approx([i / 25 for i in range(7)], abs=1e-3), name
        for start, stop, step in SPANS:
            numbers = list(range(7))[start : None if stop == -1 else stop : step]
            got = list(opened.frames(start, stop, step))
            assert [frame.index for frame in got] == numbers, (name, start, stop, step)
            assert all(abs(int(frame.rgb[8, 8, 0]) - 30 * frame.index) < 4 for frame in got), name
            assert [frame.seconds for frame in got] == [whole[i].seconds for i in numbers]


def test_frames_that_no_source_has_are_refused(tmp_path):
    for name, opened in sources(tmp_path).items():
        for wrong in ((7, None, 1), (9, None, -1)):
            with pytest.raises(UsageError, match="no frame"):
                list(opened.frames(*wrong))
        for wrong in ((-1, None, 1), (0, -2, 1), (0, None, 0)):
            with pytest.raises(UsageError, match="must"):
                opened.frames(*wrong)
        assert list(opened), name


def test_an_iterator_is_read_from_any_frame_but_not_backwards():
    def stream():
        return (np.full((4, 5, 3), i, np.uint8) for i in range(5))

    assert [frame.index for frame in open_source(stream()).frames(1, 4, 2)] == [1, 3]
    assert open_source(stream()).exact_count() is None
    with pytest.raises(UsageError, match="cannot be read backwards"):
        open_source(stream()).frames(4, None, -1)


def test_an_empty_list_has_no_frames():
    assert list(open_source([])) == list(open_source([]).frames(step=-1)) == []


def test_a_folder_that_holds_one_stack_is_that_stack(tmp_path):
    pages = [Image.fromarray(np.full((6, 8), 50 * i, np.uint8)) for i in range(3)]
    (tmp_path / "scan").mkdir()
    pages[0].save(tmp_path / "scan" / "cells.tif", save_all=True, append_images=pages[1:])
    opened = open_source(tmp_path / "scan", fps=5.0)
    assert (opened.name, opened.count, opened.fps) == ("cells", 3, 5.0)
    assert [int(frame.rgb[0, 0, 0]) for frame in opened] == [0, 50, 100]
    save(tmp_path / "scan" / "z.png")
    with pytest.raises(DataError, match=r"cells\.tif holds 3 pictures"):
        list(open_source(tmp_path / "scan"))


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_one_picture_in_a_file_is_no_video(tmp_path, suffix):
    with pytest.raises(UsageError, match="single picture"):
        open_source(save(tmp_path / f"1.{suffix}"))
    (tmp_path / "folder").mkdir()
    save(tmp_path / "folder" / f"1.{suffix}")
    assert open_source(tmp_path / "folder").count == 1
