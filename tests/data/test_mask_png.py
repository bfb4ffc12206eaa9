import errno
import io
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageDraw, ImageFilter

from selfvos.data.mask_png import is_white, palette, read_drawn, read_first_mask, read_mask, write_mask
from selfvos.errors import DataError, MaskMismatch, OutOfSpace, UsageError


def drawn(ids: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    """Masks whose every object is at least 3 x 3 pixels, as what a person draws is."""
    cells = npst.arrays(np.uint16, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=ids)
    return cells.map(lambda mask: np.kron(mask, np.ones((3, 3), np.uint16)))


def disc(size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    return ((y**2 + x**2 < (size / 3) ** 2) * 255).astype(np.uint8)


def as_palette(mask):
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette(palette().tobytes())
    return image


def as_other_palette(mask):
    image = Image.fromarray(mask.astype(np.uint8))
    colours = np.random.default_rng(0).integers(1, 255, (256, 3), dtype=np.uint8)
    colours[0] = 0
    image.putpalette(colours.tobytes())
    return image


ENCODINGS = {
    "palette": as_palette,
    "any palette": as_other_palette,
    "grey": lambda mask: Image.fromarray(mask.astype(np.uint8)),
    "grey with alpha": lambda mask: Image.fromarray(mask.astype(np.uint8)).convert("LA"),
    "16 bit": lambda mask: Image.fromarray(mask.astype(np.uint16)),
    "rgb": lambda mask: Image.fromarray(palette()[mask]),
    "rgba": lambda mask: Image.fromarray(palette()[mask]).convert("RGBA"),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("masks")


def test_the_palette_is_that_of_the_benchmarks(shared_data):
    first = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert [tuple(colour) for colour in palette()[:7].tolist()] == first
    assert palette()[[8, 9, 10, 11, 255]].tolist() == [
        [64, 0, 0],
        [192, 0, 0],
        [64, 128, 0],
        [192, 128, 0],
        [224, 224, 192],
    ]
    assert len(np.unique(palette(), axis=0)) == 256
    official = Image.open(next((shared_data / "multiobject").rglob("*.png"))).getpalette()
    assert official is not None
    np.testing.assert_array_equal(palette()[:8].ravel(), official[:24])


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=25, deadline=None)
@given(mask=drawn(st.integers(0, 254)))
def test_the_same_ids_from_every_encoding(scratch, encoding, mask):
    ENCODINGS[encoding](mask).save(scratch / "mask.png")
    read = read_mask(scratch / "mask.png", mask.shape)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask)


@settings(max_examples=50, deadline=None)
@given(npst.arrays(np.int64, npst.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 65534)))
def test_what_is_written_is_read_back(scratch, mask):
    write_mask(scratch / "mask.png", mask)
    read = read_mask(scratch / "mask.png")
    assert read.dtype == (np.uint8 if mask.max() <= 255 else np.uint16)
    np.testing.assert_array_equal(read, mask)


@settings(max_examples=25, deadline=None)
@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=9)))
@example(np.array([[1, 255]], np.uint8))
def test_every_byte_is_an_id(scratch, mask):
    write_mask(scratch / "mask.png", mask)
    np.testing.assert_array_equal(read_mask(scratch / "mask.png"), mask)
    assert Image.open(scratch / "mask.png").mode == "P"


def test_three_hundred_objects(tmp_path):
    mask = np.kron(np.arange(301).reshape(7, 43), np.ones((3, 3), int))
    write_mask(tmp_path / "mask.png", mask)
    assert Image.open(tmp_path / "mask.png").mode.startswith("I")
    read = read_mask(tmp_path / "mask.png")
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, mask)


def test_the_most_objects_and_one_more(tmp_path):
    mask = np.arange(65536).reshape(256, 256)
    write_mask(tmp_path / "mask.png", np.kron(mask, np.ones((2, 2), int)))
    assert len(np.unique(read_mask(tmp_path / "mask.png"))) == 65536
    for wrong in (mask + 1, mask - 1):
        with pytest.raises(MaskMismatch, match="0 to 65535"):
            write_mask(tmp_path / "mask.png", wrong)


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_white_on_black_is_object_one(tmp_path, mode):
    Image.fromarray(disc()).convert(mode).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), disc() > 0)


def test_255_in_a_palette_is_an_id(tmp_path):
    as_palette(disc()).save(tmp_path / "mask.png")
    assert np.unique(read_mask(tmp_path / "mask.png")).tolist() == [0, 255]


def test_all_white_is_one_object_everywhere(tmp_path):
    Image.new("L", (8, 6), 255).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), np.ones((6, 8)))


@pytest.mark.parametrize("suffix", ["tif", "bmp"])
def test_other_lossless_files(tmp_path, suffix):
    Image.fromarray(disc() // 127 * 3).save(tmp_path / f"mask.{suffix}")
    assert np.unique(read_mask(tmp_path / f"mask.{suffix}")).tolist() == [0, 6]


def test_thin_objects_with_low_ids_are_not_called_soft(tmp_path):
    ids = np.zeros((12, 12), np.uint8)
    ids[3:9, 3:9], ids[4:8, 4:8] = 1, 2  # object 1 is a line around object 2
    Image.fromarray(ids).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), ids)


def test_free_colours_are_numbered_from_dark_to_light_red(tmp_path):
    rgb = np.zeros((12, 12, 3), np.uint8)
    rgb[:4, :4], rgb[4:8, :4], rgb[8:, 4:] = (255, 0, 0), (0, 255, 0), (255, 255, 0)
    Image.fromarray(rgb).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert (mask[0, 0], mask[4, 0], mask[8, 4], mask[0, 8]) == (2, 1, 3, 0)


def test_transparent_pixels_are_background(tmp_path):
    rgba = np.full((8, 8, 4), 255, np.uint8)
    rgba[:4, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), rgba[..., 3] > 0)


@pytest.mark.parametrize("colours", [32, 33])
def test_at_most_32_free_colours(tmp_path, colours):
    ids = np.kron(np.arange(36).reshape(6, 6).clip(0, colours), np.ones((3, 3), int))
    rgb = np.stack([ids * 7, ids * 0, ids * 5], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "mask.png")
    if colours == 32:
        np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), ids)
    else:
        with pytest.raises(MaskMismatch, match="34 colours"):
            read_mask(tmp_path / "mask.png")


def test_a_photograph_is_no_mask(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "mask.png")
    with pytest.raises(MaskMismatch, match=r"ids cannot be told \(\d+ colours.*palette or grey PNG"):
        read_mask(tmp_path / "mask.png")


def test_colours_without_black_background_are_refused(tmp_path):
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "mask.png")
    with pytest.raises(MaskMismatch, match="on black"):
        read_mask(tmp_path / "mask.png")


SOFT = {
    "halved": lambda image: image.resize((32, 32), Image.Resampling.BILINEAR),
    "averaged": lambda image: image.resize((32, 32), Image.Resampling.BOX),
    "doubled": lambda image: image.resize((128, 128), Image.Resampling.BILINEAR),
    "sharpened": lambda image: image.resize((50, 50), Image.Resampling.LANCZOS),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
}


@pytest.mark.parametrize("soften", SOFT)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_soft_edges_are_refused(tmp_path, soften, mode):
    SOFT[soften](Image.fromarray(disc())).convert(mode).save(tmp_path / "mask.png")
    with pytest.raises(MaskMismatch, match="soft edges"):
        read_mask(tmp_path / "mask.png")


def test_soft_edges_in_colour_are_refused(tmp_path):
    image = Image.new("RGB", (64, 64))
    ImageDraw.Draw(image).ellipse((9, 9, 40, 40), fill=(255, 0, 0))
    ImageDraw.Draw(image).ellipse((30, 30, 60, 60), fill=(0, 0, 255))
    image.resize((32, 32), Image.Resampling.BOX).save(tmp_path / "mask.png")
    with pytest.raises(MaskMismatch, match="soft edges"):
        read_mask(tmp_path / "mask.png")


def test_soft_edges_of_16_bits_are_refused(tmp_path):
    soft = np.array(SOFT["halved"](Image.fromarray(disc()))).astype(np.uint16) * 257
    Image.fromarray(soft).save(tmp_path / "mask.png")
    with pytest.raises(MaskMismatch, match="soft edges"):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("quality", [50, 75, 90, 95, 100])
def test_what_was_a_jpeg_is_refused(tmp_path, quality):
    Image.fromarray(disc()).save(tmp_path / "mask.jpg", quality=quality)
    with pytest.raises(MaskMismatch, match="is JPEG"):
        read_mask(tmp_path / "mask.jpg")
    Image.open(tmp_path / "mask.jpg").save(tmp_path / "mask.png")
    with pytest.raises(MaskMismatch, match="soft edges"):
        read_mask(tmp_path / "mask.png")


def test_a_jpeg_called_png_is_refused(tmp_path):
    Image.fromarray(disc()).save(tmp_path / "mask.png", format="JPEG")
    with pytest.raises(MaskMismatch, match="is JPEG"):
        read_mask(tmp_path / "mask.png")


def test_real_masks_in_any_grey_levels_are_never_called_soft(shared_data, tmp_path):
    files = sorted((shared_data / "multiobject").rglob("*.png"))[::13]
    files += sorted((shared_data / "peer_results").rglob("*.png"))[::97]
    assert len(files) > 10
    for file in files:
        ids = np.array(Image.open(file))
        levels = (ids * 36 if ids.max() < 8 else ids).astype(np.uint8)
        Image.fromarray(levels).save(tmp_path / "mask.png")
        expected = levels > 0 if set(np.unique(levels).tolist()) <= {0, 255} else levels
        np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), expected)


def test_real_masks_keep_their_ids(shared_data):
    binary = read_mask(next((shared_data / "davis2016" / "Annotations").rglob("*.png")))
    assert np.unique(binary).tolist() == [0, 1]
    girls = read_mask(shared_data / "multiobject/Annotations/240p/schoolgirls/00000.png", (240, 432))
    assert np.unique(girls).tolist() == list(range(8))


def test_another_size_names_both(tmp_path):
    write_mask(tmp_path / "mask.png", np.ones((480, 854), np.uint8))
    with pytest.raises(MaskMismatch, match="480x854, the frame is 720x1280") as caught:
        read_mask(tmp_path / "mask.png", (720, 1280))
    assert "\n" not in str(caught.value)


def test_an_empty_mask_is_fine_unless_it_is_the_first(tmp_path):
    write_mask(tmp_path / "mask.png", np.zeros((6, 8), np.uint8))
    assert not read_mask(tmp_path / "mask.png").any()
    with pytest.raises(MaskMismatch, match="empty"):
        read_first_mask(tmp_path / "mask.png", (6, 8))
    write_mask(tmp_path / "mask.png", np.eye(6, 8, dtype=np.uint8))
    assert read_first_mask(tmp_path / "mask.png", (6, 8)).sum() == 6


def test_a_mask_without_pixels_cannot_be_written(tmp_path):
    with pytest.raises(MaskMismatch, match="at least one pixel"):
        write_mask(tmp_path / "mask.png", np.zeros((0, 4), np.uint8))


def test_a_float_mask_is_refused(tmp_path):
    Image.fromarray(np.ones((6, 8), np.float32)).save(tmp_path / "mask.tif")
    with pytest.raises(MaskMismatch, match="F image"):
        read_mask(tmp_path / "mask.tif")


def test_ids_beyond_16_bits_are_refused(tmp_path):
    for wrong in (70000, -1):
        Image.fromarray(np.full((6, 8), wrong, np.int32)).save(tmp_path / "mask.tif")
        with pytest.raises(MaskMismatch, match=str(wrong)):
            read_mask(tmp_path / "mask.tif")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_mask(tmp_path / "nothing.png")
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\njunk")
    with pytest.raises(DataError, match=r"mask\.png cannot be read"):
        read_mask(tmp_path / "mask.png")


def test_a_decompression_bomb_is_refused_unopened(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    side = (40_000).to_bytes(4, "big")
    head = chunk(b"IHDR", side + side + bytes([8, 0, 0, 0, 0]))
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(10**6))))
    with pytest.raises(DataError, match="pixels"):
        read_mask(tmp_path / "mask.png")


def test_a_full_disk_leaves_the_old_mask(tmp_path, monkeypatch):
    old = np.eye(6, dtype=np.uint8)
    write_mask(tmp_path / "mask.png", old)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("selfvos.storage.os.replace", full)
    with pytest.raises(OutOfSpace, match=r"mask\.png"):
        write_mask(tmp_path / "mask.png", 1 - old)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), old)
    assert os.listdir(tmp_path) == ["mask.png"]


def interlaced_png(image: Image.Image) -> bytes:
    """Write a PNG in Adam7 order, which Pillow reads but does not write."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    content = buffer.getvalue()
    chunks, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    pixels = np.array(image)
    pixels = pixels.astype(">u2").view(np.uint8).reshape(*pixels.shape, 2) if pixels.dtype == np.uint16 else pixels
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = (pixels[top::down, left::right] for top, left, down, right in passes)
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    head = bytearray(chunks[0][1])
    head[12] = 1
    kept = [(kind, data) for kind, data in chunks[1:] if kind not in {b"IDAT", b"IEND"}]
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in [(b"IHDR", bytes(head)), *kept, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]:
        out += len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    return out


TURNED = {
    1: lambda mask: mask,
    2: lambda mask: mask[:, ::-1],
    3: lambda mask: mask[::-1, ::-1],
    4: lambda mask: mask[::-1],
    5: lambda mask: mask.T,
    6: lambda mask: np.rot90(mask),
    7: lambda mask: mask.T[::-1, ::-1],
    8: lambda mask: np.rot90(mask, -1),
}
"""How a mask is stored so that EXIF says with this number how it stands."""


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=12, deadline=None)
@given(
    mask=drawn(st.integers(0, 254)),
    orientation=st.sampled_from(sorted(TURNED)),
    wrapping=st.sampled_from(["plain", "interlaced", "transparent", "tiff"]),
)
def test_the_same_ids_however_the_file_is_written(scratch, encoding, mask, orientation, wrapping):
    image = ENCODINGS[encoding](np.ascontiguousarray(TURNED[orientation](mask)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = scratch / ("mask.tif" if wrapping == "tiff" else "mask.png")
    if wrapping == "interlaced":
        expected = mask if orientation == 1 else TURNED[orientation](mask)  # an EXIF chunk is not written here
        file.write_bytes(interlaced_png(image))
    else:
        none = {"P": 0, "L": 0, "RGB": (0, 0, 0)}.get(image.mode)
        more = {"transparency": none} if wrapping == "transparent" and none is not None else {}
        more |= {"compression": "tiff_lzw"} if wrapping == "tiff" else {}
        image.save(file, exif=exif, **more)
        expected = mask
    np.testing.assert_array_equal(read_mask(file, expected.shape), expected)


@settings(max_examples=10, deadline=None)
@given(mask=drawn(st.integers(0, 1)))
def test_one_object_in_white_is_the_same_object_in_every_encoding(scratch, mask):
    white = Image.fromarray((mask * 255).astype(np.uint8))
    two = Image.fromarray(mask.astype(np.uint8))
    two.putpalette(bytes([0, 0, 0, 255, 255, 255]))
    greys = white.copy()
    greys.putpalette(np.arange(256, dtype=np.uint8).repeat(3).tobytes())
    deep = Image.fromarray((mask * 65535).astype(np.uint16))
    for image in (white, two, greys, deep, *(white.convert(mode) for mode in ("1", "LA", "RGB", "RGBA"))):
        image.save(scratch / "white.png")
        found = read_drawn(scratch / "white.png")
        np.testing.assert_array_equal(found.ids, mask)
        assert found.white == is_white(scratch / "white.png") == bool(mask.any())
        assert not (found.numbered and mask.any())


def test_numbered_masks_say_so(tmp_path):
    mask = np.kron([[0, 1], [2, 0]], np.ones((4, 4), int))
    for encoding in ENCODINGS.values():
        encoding(mask).save(tmp_path / "mask.png")
        assert read_drawn(tmp_path / "mask.png").numbered
        assert not is_white(tmp_path / "mask.png")
    assert read_drawn(tmp_path / "mask.png").objects == (1, 2)
    Image.fromarray(np.kron([[0, 1]], np.ones((4, 4), int))[..., None].astype(np.uint8) * np.uint8([9, 8, 250])).save(
        tmp_path / "free.png"
    )
    assert is_white(tmp_path / "free.png"), "one free colour does not say which object it is either"


def test_a_mask_of_one_object_can_be_given_an_id(tmp_path):
    Image.fromarray(disc()).save(tmp_path / "white.png")
    write_mask(tmp_path / "numbered.png", disc() // 255)
    for name in ("white.png", "numbered.png"):
        for id, kind in ((2, np.uint8), (300, np.uint16)):
            read = read_mask(tmp_path / name, as_id=id)
            assert read.dtype == kind
            np.testing.assert_array_equal(read, (disc() > 0) * id)
    np.testing.assert_array_equal(read_first_mask(tmp_path / "white.png", (64, 64), as_id=2), (disc() > 0) * 2)
    write_mask(tmp_path / "two.png", np.kron([[1, 2]], np.ones((3, 3), int)))
    with pytest.raises(MaskMismatch, match="objects 1, 2; it cannot be object 7"):
        read_mask(tmp_path / "two.png", as_id=7)
    for wrong in (0, 65536):
        with pytest.raises(UsageError, match="1 to 65535"):
            read_mask(tmp_path / "white.png", as_id=wrong)


def with_palette(mask: np.ndarray, *colours: tuple[int, int, int], **options) -> Image.Image:
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette(bytes(np.array(colours, np.uint8)))
    image.info.update(options)
    return image


def test_a_palette_whose_background_is_not_the_darkest_is_refused(tmp_path):
    mask = disc() // 255
    with_palette(1 - mask, (255, 255, 255), (0, 0, 0)).save(tmp_path / "mask.png")  # as a quantiser puts it
    with pytest.raises(MaskMismatch, match=r"index 0 .* is lighter \(255, 255, 255\) than index 1 \(0, 0, 0\).*grey"):
        read_mask(tmp_path / "mask.png")
    with_palette(mask * 0 + 1, (128, 0, 0), (0, 0, 0)).save(tmp_path / "mask.png")  # the object is not in this frame
    with pytest.raises(MaskMismatch, match="swapped"):
        read_mask(tmp_path / "mask.png")
    with_palette(mask, (20, 20, 20), (200, 0, 0), (0, 0, 0)).save(tmp_path / "mask.png")  # the darkest does not occur
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask)


def test_a_transparent_index_is_background(tmp_path):
    mask = disc() // 255
    light = with_palette(mask, (255, 255, 255), (200, 0, 0))
    light.save(tmp_path / "mask.png", transparency=0)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask)
    with_palette(mask + 1, (0, 0, 0), (90, 90, 90), (200, 0, 0)).save(tmp_path / "mask.png", transparency=b"\xff\0\xff")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask * 2)


def ringed() -> tuple[np.ndarray, np.ndarray]:
    """Return ids of two objects, the first with a rim of 255 around it, and where the rim is."""
    y, x = np.mgrid[:64, :64] - 24
    radius = np.hypot(y, x)
    rim = (radius >= 12) & (radius < 16)
    mask = np.where(radius < 12, 1, np.where(rim, 255, 0))
    mask[50:60, 50:60] = 20
    return mask, rim


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "any palette"])
def test_a_void_rim_is_no_object(tmp_path, caplog, encoding):
    mask, rim = ringed()
    ENCODINGS[encoding](mask).save(tmp_path / "mask.png")
    drawn = read_drawn(tmp_path / "mask.png")
    assert drawn.objects == (1, 20)
    np.testing.assert_array_equal(drawn.ids, np.where(rim, 0, mask))
    np.testing.assert_array_equal(drawn.void, rim)
    assert f"{rim.sum()} pixels of 255 are void" in caplog.text


def test_255_is_an_object_where_its_colour_or_its_neighbours_say_so(tmp_path):
    mask, _ = ringed()
    other = as_other_palette(mask)
    assert min(np.array(other.getpalette()).reshape(-1, 3)[255]) < 192
    other.save(tmp_path / "mask.png")
    assert read_drawn(tmp_path / "mask.png").objects == (1, 20, 255)
    write_mask(tmp_path / "mask.png", np.where(mask == 20, 200, mask))
    assert read_drawn(tmp_path / "mask.png").objects == (1, 200, 255)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mask.png")
    with pytest.raises(DataError, match="not a regular file"):
        read_mask(tmp_path / "mask.png")


def test_a_mask_in_a_folder_s_place_and_an_empty_one_are_told_apart(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").write_bytes(b"")
    for name, says in (("folder.png", "it is a folder"), ("empty.png", "empty")):
        with pytest.raises(DataError, match=says):
            read_mask(tmp_path / name)
    os.symlink(tmp_path / "gone.png", tmp_path / "link.png")
    with pytest.raises(UsageError, match=r"link\.png \(a link to .*gone\.png, which is not there"):
        read_mask(tmp_path / "link.png")


def test_a_tiff_that_would_be_read_wrong_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.kron([[0, 1, 2]], np.ones((4, 4), int)).astype(np.uint8)).save(tmp_path / "mask.tif", exif=exif)
    with pytest.raises(DataError, match="on its side and not compressed"):
        read_mask(tmp_path / "mask.tif")
