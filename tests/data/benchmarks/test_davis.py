import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.data.benchmarks.davis import Davis
from selfvos.data.benchmarks.stored_ids import read_ids
from selfvos.errors import DataError, MaskMismatch, UnknownName

COLOURS = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + 3 * [7] * 252  # many indices of one colour


def write_ids(path: Path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(ids, np.uint8))
    image.putpalette(COLOURS)
    image.save(path)


def make_davis(root: Path, masks, *, year="2017", size="480p", pictures=True):
    """Write a small DAVIS: `masks` holds the ids of each frame by video."""
    for name, frames in masks.items():
        for i, ids in enumerate(frames):
            write_ids(root / "Annotations" / size / name / f"{i:05d}.png", ids)
            if pictures:
                path = root / "JPEGImages" / size / name / f"{i:05d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    listed = root / "ImageSets" / year / "val.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join(masks) + "\n\n")
    return root


def frame(*ids):
    """Two rows of ids."""
    return np.array([ids, ids], np.uint8)


@pytest.fixture
def root(tmp_path):
    zebra = [frame(0, 1, 3, 255), frame(0, 5, 3, 255), frame(0, 0, 0, 0), frame(0, 0, 0, 1)]
    return make_davis(tmp_path, {"zebra": zebra, "ant": [frame(0, 1, 1, 1)] * 3})


def test_the_registry_knows_every_split():
    assert set(BENCHMARKS.names()) >= {
        "davis-2016-val", "davis-2016-train", "davis-2016-dev",
        "davis-2017-val", "davis-2017-train", "davis-2017-test-dev",
    }  # fmt: skip
    with pytest.raises(UnknownName, match="did you mean 'davis-2017-val'"):
        BENCHMARKS.get("davis-2017-vla")


def test_videos_come_in_the_order_of_the_list(root):
    benchmark = BENCHMARKS.get("davis-2017-val")(root)
    assert [video.name for video in benchmark.videos] == ["zebra", "ant"]
    assert (benchmark.name, benchmark.subset) == ("davis-2017-val", "val")


def test_2017_keeps_ids_up_to_the_highest_of_the_first_mask(root):
    zebra, ant = Davis(root, year=2017, split="val").videos
    assert zebra.objects == (1, 2, 3)
    assert ant.objects == (1,)
    assert zebra.given_mask(zebra.given[0]).tolist() == frame(0, 1, 3, 0).tolist()
    assert zebra.truth("00001").tolist() == frame(0, 5, 3, 0).tolist()


def test_2016_merges_everything_into_one_object(root):
    (root / "ImageSets" / "2016").mkdir()
    (root / "ImageSets" / "2016" / "val.txt").write_text("zebra")
    benchmark = Davis(root, year=2016, split="val")
    (zebra,) = benchmark.videos
    assert zebra.objects == (1,)
    assert zebra.given_mask(zebra.given[0]).dtype == np.uint8
    assert zebra.given_mask(zebra.given[0]).tolist() == frame(0, 1, 1, 1).tolist()
    result = root / "Annotations" / "480p" / "zebra" / "00001.png"
    assert benchmark.read_result(result).tolist() == frame(0, 1, 1, 1).tolist()


def test_2017_results_are_read_as_they_are(root):
    benchmark = Davis(root, year=2017, split="val")
    result = root / "Annotations" / "480p" / "zebra" / "00000.png"
    assert benchmark.read_result(result).tolist() == frame(0, 1, 3, 255).tolist()


def test_first_and_last_frame_do_not_count(root):
    zebra, ant = Davis(root, year=2017, split="val").videos
    assert zebra.counted == ("00001", "00002")
    assert ant.counted == ("00001",)
    assert [path.name for path in zebra.frames] == ["00000.jpg", "00001.jpg", "00002.jpg", "00003.jpg"]


def test_frames_come_in_natural_order(root):
    folder = root / "Annotations" / "480p" / "ant"
    for old, new in [("00000", "f9"), ("00001", "f10"), ("00002", "f100")]:
        (folder / f"{old}.png").rename(folder / f"{new}.png")
        (root / "JPEGImages" / "480p" / "ant" / f"{old}.jpg").unlink()
    assert Davis(root, year=2017, split="val").videos[1].frame_names == ("f9", "f10", "f100")


def test_scoring_needs_no_pictures_and_tracking_does(tmp_path):
    root = make_davis(tmp_path, {"ant": [frame(0, 1)] * 3}, pictures=False)
    (ant,) = Davis(root, year=2017, split="val").videos
    assert ant.counted == ("00001",)
    with pytest.raises(DataError, match=r"no frame .*ant/00000\.jpg \(3 of 3 missing\)"):
        _ = ant.frames


def test_a_missing_picture_is_named(root):
    (root / "JPEGImages" / "480p" / "zebra" / "00002.jpg").unlink()
    with pytest.raises(DataError, match=r"no frame .*zebra/00002\.jpg \(1 of 4 missing\)"):
        _ = Davis(root, year=2017, split="val").videos[0].frames


def test_a_missing_mask_is_named(root):
    (root / "Annotations" / "480p" / "zebra" / "00002.png").unlink()
    zebra = Davis(root, year=2017, split="val").videos[0]
    assert zebra.counted == ("00001", "00002")
    with pytest.raises(DataError, match=r"no annotation .*zebra/00002\.png: download"):
        zebra.truth("00002")


def test_test_dev_masks_are_on_the_server(root):
    (root / "ImageSets" / "2017" / "test-dev.txt").write_text("zebra")
    (root / "Annotations" / "480p" / "zebra" / "00001.png").unlink()
    zebra = BENCHMARKS.get("davis-2017-test-dev")(root).videos[0]
    assert zebra.objects == (1, 2, 3)
    with pytest.raises(DataError, match="only the official server has it"):
        zebra.truth("00001")


def test_a_listed_video_that_is_not_there_is_named(root):
    (root / "ImageSets" / "2017" / "val.txt").write_text("ghost")
    with pytest.raises(DataError, match=r"ghost: no frame in .* and no mask in"):
        _ = Davis(root, year=2017, split="val").videos[0].frame_names


def test_two_frames_leave_nothing_to_score(tmp_path):
    root = make_davis(tmp_path, {"ant": [frame(0, 1)] * 2})
    with pytest.raises(DataError, match="sequence ant: 2 frames, first and last are not scored"):
        _ = Davis(root, year=2017, split="val").videos[0].counted


def test_2016_masks_hold_no_object_of_2017(tmp_path):
    root = make_davis(tmp_path, {"ant": [frame(0, 255)] * 3})
    with pytest.raises(DataError, match=r"no object in .*ant/00000\.png.* DAVIS 2016's"):
        _ = Davis(root, year=2017, split="val").videos[0].objects


def test_fewer_sequences_than_official_are_noted(root):
    assert Davis(root, year=2017, split="val").note == "2 of 30 sequences listed"
    (root / "ImageSets" / "2017" / "mine.txt").write_text("ant")
    assert Davis(root, year=2017, split="mine").note == ""


def test_the_only_resolution_is_taken_and_noted(tmp_path):
    root = make_davis(tmp_path, {"ant": [frame(0, 1)] * 3}, size="240p")
    benchmark = Davis(root, year=2017, split="val")
    assert benchmark.resolution == "240p"
    assert benchmark.note == "1 of 30 sequences listed; at 240p, published numbers are at 480p"
    (root / "Annotations" / "Full-Resolution").mkdir()
    with pytest.raises(DataError, match="holds 240p, Full-Resolution: 480p, or one folder alone, is expected"):
        Davis(root, year=2017, split="val")


def test_480p_goes_before_others(root):
    (root / "Annotations" / "Full-Resolution").mkdir()
    assert Davis(root, year=2017, split="val").resolution == "480p"


def test_a_list_may_lie_outside_the_years_and_name_frames(root):
    (root / "ImageSets" / "2017" / "val.txt").unlink()
    lines = ["/JPEGImages/480p/ant/00000.jpg /Annotations/480p/ant/00000.png", "/JPEGImages/480p/ant/00001.jpg x"]
    (root / "ImageSets" / "val.txt").write_text("\ufeff" + "\r\n".join(lines))
    assert [video.name for video in Davis(root, year=2017, split="val").videos] == ["ant"]


def test_a_missing_or_empty_list_is_named(root):
    with pytest.raises(DataError, match=r"no list .*ImageSets/2016/val\.txt, nor .*ImageSets/val\.txt"):
        Davis(root, year=2016, split="val")
    (root / "ImageSets" / "2017" / "val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt lists no sequence"):
        Davis(root, year=2017, split="val")


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*Annotations: give the DAVIS folder"):
        Davis(tmp_path, year=2017, split="val")


# --- Reading ids. ---


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_indices_are_read_whatever_the_colours(tmp_path, bits):
    ids = frame(0, 1, 1, 0) if bits == 1 else frame(0, 1, 2, 3)
    image = Image.fromarray(ids)
    image.putpalette(COLOURS[: 3 * 2**bits])
    image.save(tmp_path / "ids.png", bits=bits)
    assert read_ids(tmp_path / "ids.png").tolist() == ids.tolist()


def test_grey_masks_are_read_as_numbers_with_or_without_transparency(tmp_path):
    ids = frame(0, 7, 255)
    grey = Image.fromarray(ids)
    grey.save(tmp_path / "grey.png")
    Image.merge("LA", [grey, Image.new("L", grey.size, 255)]).save(tmp_path / "alpha.png")
    grey.convert("1").save(tmp_path / "bits.png")
    assert read_ids(tmp_path / "grey.png").tolist() == ids.tolist()
    assert read_ids(tmp_path / "alpha.png").tolist() == ids.tolist()
    assert set(np.unique(read_ids(tmp_path / "bits.png"))) == {0, 1}


def test_colours_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "colour.png")
    with pytest.raises(MaskMismatch, match=r"colour\.png holds colours \(RGB\), not object ids"):
        read_ids(tmp_path / "colour.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read mask .*nothing\.png"):
        read_ids(tmp_path / "nothing.png")


def _png() -> bytes:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 4, (24, 24), dtype=np.uint8))
    image.putpalette(COLOURS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


PNG = _png()


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(PNG) - 1), value=st.integers(0, 255), length=st.integers(0, len(PNG)))
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path_factory, place, value, length):
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    content = bytearray(PNG)
    content[place] = value
    path.write_bytes(content[:length])
    try:
        ids = read_ids(path)
    except DataError as error:
        assert "damaged.png" in str(error)  # noqa: PT017
    else:
        assert ids.ndim == 2


# --- Real data. ---


def test_real_2016(shared_data):
    benchmark = BENCHMARKS.get("davis-2016-val")(shared_data / "davis2016")
    assert benchmark.note == "12 of 20 sequences listed"
    assert [video.name for video in benchmark.videos][:2] == ["blackswan", "car-roundabout"]
    assert sum(len(video.frames) for video in benchmark.videos) == 770
    assert set(np.unique(benchmark.videos[0].truth(benchmark.videos[0].given[0]))) == {0, 1}


def test_real_train_set_is_scored_with_few_pictures(shared_data):
    benchmark = BENCHMARKS.get("davis-2016-train")(shared_data / "davis2016_train")
    assert benchmark.note == ""
    assert sum(len(video.frame_names) for video in benchmark.videos) == 2079
    with pytest.raises(DataError, match=r"no frame .*bear/00000\.jpg"):
        _ = benchmark.videos[0].frames
    development = BENCHMARKS.get("davis-2016-dev")(shared_data / "davis2016_train")
    assert [len(video.frames) for video in development.videos] == [25, 64, 60, 43, 48]


def test_real_2017(shared_data):
    dogs, girls = BENCHMARKS.get("davis-2017-val")(shared_data / "multiobject").videos
    assert dogs.objects == (1, 2, 3)
    assert girls.objects == (1, 2, 3, 4, 5, 6, 7)
    assert dogs.given_mask(dogs.given[0]).shape == (240, 432)
    assert len(dogs.frames) == 66
