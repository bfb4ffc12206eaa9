import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from selfvos.data import source
from selfvos.data.source import Source, find_videos, natural, open_image, open_source, read_image
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


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_sort_as_numbers(numbers):
    names = sorted((f"shot{n}.jpg" for n in numbers), key=natural)
    assert names == [f"shot{n}.jpg" for n in sorted(numbers)]


@given(st.lists(st.text(max_size=8), max_size=6))
def test_any_names_can_be_sorted_and_only_one_way(names):
    backwards = names[::-1]
    assert sorted(names, key=natural) == sorted(backwards, key=natural)


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


def test_deep_grey_is_spread_by_the_first_picture_for_all(tmp_path):
    ramp = np.linspace(1000, 3000, 48).reshape(6, 8).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "1.png")
    Image.fromarray(ramp // 2).save(tmp_path / "2.png")
    first, second = (frame.rgb for frame in open_source(tmp_path))
    assert first.dtype == np.uint8
    assert first.min() <= 1
    assert first.max() >= 254
    # 1500 is a quarter of the way from 1000 to 3000: the second picture is not spread anew.
    assert abs(int(second.max()) - 64) <= 2


def test_floating_point_pictures_are_spread_too(tmp_path):
    Image.fromarray(np.linspace(-1, 1, 48, dtype=np.float32).reshape(6, 8)).save(tmp_path / "1.tif")
    rgb = read_image(tmp_path / "1.tif")
    assert rgb.min() <= 1
    assert rgb.max() >= 254
    assert (np.diff(rgb[0, :, 0].astype(int)) > 0).all()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    save(tmp_path / "1.png")
    monkeypatch.setattr(source, "MOST_PIXELS", 47)
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


def test_all_videos_below_a_folder_are_found(tmp_path):
    for name in ("clips/b10.mp4", "clips/b9.MOV", "clips/.hidden.mp4", "clips/readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    save(tmp_path / "JPEGImages/480p/dog/00000.jpg")
    save(tmp_path / "JPEGImages/480p/cat/00000.jpg")
    save(tmp_path / "Annotations/480p/cat/00000.png")
    save(tmp_path / ".cache/x/00000.png")
    found = [str(path.relative_to(tmp_path)) for path in find_videos(tmp_path)]
    assert found == ["clips/b9.MOV", "clips/b10.mp4", "JPEGImages/480p/cat", "JPEGImages/480p/dog"]


def test_a_folder_of_pictures_is_itself_a_video(tmp_path):
    save(tmp_path / "1.png")
    assert find_videos(str(tmp_path)) == [tmp_path]
    assert find_videos(save_video(tmp_path / "a.mp4")) == [tmp_path / "a.mp4"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    save(tmp_path / "elsewhere/dog/1.png")
    root = tmp_path / "root"
    root.mkdir()
    os.symlink(tmp_path / "elsewhere", root / "linked")
    os.symlink(root, root / "circle")
    assert find_videos(root) == [root / "linked" / "dog"]


def test_nothing_to_learn_from_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no videos below"):
        find_videos(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        find_videos(tmp_path / "nothing")
