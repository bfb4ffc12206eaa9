from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from selfvos.data.pictures import evenly, range_of, read_image

ENCODINGS = {
    "png": {},
    "bmp": {},
    "tif": {"compression": "tiff_lzw"},
    "webp": {"lossless": True, "exact": True},
}
STORED = {
    1: lambda rgb: rgb,
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.swapaxes(0, 1),
    6: lambda rgb: np.rot90(rgb),
    7: lambda rgb: rgb.swapaxes(0, 1)[::-1, ::-1],
    8: lambda rgb: np.rot90(rgb, -1),
}
"""How a picture is stored so that EXIF says with this number how it stands."""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.mark.parametrize("suffix", ENCODINGS)
@settings(max_examples=15, deadline=None)
@given(
    rgb=npst.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))),
    orientation=st.sampled_from(sorted(STORED)),
    opaque=st.booleans(),
)
def test_the_same_pixels_from_every_file(scratch, suffix, rgb, orientation, opaque):
    orientation = 1 if suffix == "bmp" else orientation  # which knows no EXIF
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation](rgb)))
    image = image if opaque or suffix == "bmp" else image.convert("RGBA")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(scratch / f"a.{suffix}", exif=exif, **ENCODINGS[suffix])
    np.testing.assert_array_equal(read_image(scratch / f"a.{suffix}"), rgb)


@given(st.integers(1, 10_000))
def test_the_first_the_last_and_a_few_between_stand_for_a_sequence(count):
    some = evenly(count)
    assert some[0] == 0
    assert some[-1] == count - 1
    assert len(some) == min(count, 32)
    assert some == sorted(some)


def test_the_range_of_a_sequence_is_that_of_all_its_samples(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 60_000, (5, 40, 50)).astype(np.uint16)
    files = [tmp_path / f"{i}.png" for i in range(5)]
    for file, samples in zip(files, values, strict=True):
        Image.fromarray(samples).save(file)
    assert range_of(files) == pytest.approx(tuple(np.percentile(values, (0.1, 99.9))))
    Image.fromarray(values[0].astype(np.uint8)).save(tmp_path / "grey.png")
    assert range_of([tmp_path / "grey.png"]) is None


def test_what_is_no_number_does_not_count_in_a_range(tmp_path):
    samples = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    samples[0, 0], samples[0, 1] = np.nan, np.inf
    Image.fromarray(samples).save(tmp_path / "a.tif")
    rgb = read_image(tmp_path / "a.tif")
    assert rgb[0, 0, 0] == 0
    assert rgb[0, 1, 0] == 255
    assert 120 < rgb[3, 0, 0] < 135
