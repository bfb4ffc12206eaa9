import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from selfvos.errors import DataError
from selfvos.formats import brush, polygons, rle

few = settings(max_examples=25, deadline=None)
masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))
counts = st.lists(st.integers(0, 2**26), min_size=1, max_size=9).map(lambda values: np.array(values, np.int64))
RING = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0]], bool)


def test_known_columns():
    ids = np.array([[0, 7, 7], [0, 0, 7], [9, 0, 0]], np.uint16)
    found = rle.counts_of_each(ids)
    assert {number: list(counts) for number, counts in found.items()} == {7: [3, 1, 2, 2, 1], 9: [2, 1, 6]}
    assert list(rle.counts_of_rows(ids == 7)) == [1, 2, 2, 1, 3]
    assert list(rle.counts_of_rows(ids == 0)) == [0, 1, 2, 2, 2, 2]


def test_known_texts():
    # 0 ... 15 are one character; 16 needs a second one, so that its highest bit is not taken for a sign.
    assert rle.compress(np.array([0, 15, 16])) == "0?`0"
    # 7 is written as what it has less than 10, the number two before: minus three.
    assert rle.compress(np.array([5, 10, 3, 7])) == "5:3M"
    assert list(rle.decompress("5:3M")) == [5, 10, 3, 7]
    assert rle.compress(np.empty(0, np.int64)) == ""
    assert list(rle.decompress("")) == []


@few
@given(counts)
def test_a_text_gives_back_its_numbers(numbers):
    before = numbers.copy()
    assert np.array_equal(rle.decompress(rle.compress(numbers)), numbers)
    assert np.array_equal(numbers, before)


@few
@given(counts)
def test_pycocotools_reads_the_texts(numbers):
    coco = pytest.importorskip("pycocotools.mask", reason="pycocotools reads COCO independently")
    numbers = np.minimum(numbers, 500)
    height, total = 1, int(numbers.sum())
    theirs = coco.frPyObjects({"size": [height, total], "counts": numbers.tolist()}, height, total)
    assert theirs["counts"].decode() == rle.compress(numbers)


@few
@given(masks)
def test_pycocotools_agrees_on_masks(mask):
    coco = pytest.importorskip("pycocotools.mask", reason="pycocotools reads COCO independently")
    found = rle.counts_of_each(mask.astype(np.uint8))
    text = rle.compress(found[1]) if 1 in found else rle.compress(np.array([mask.size]))
    assert coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode() == text
    assert np.array_equal(coco.decode({"size": list(mask.shape), "counts": text}), mask)


@few
@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 4, 999])))
def test_every_object_comes_back_from_columns_and_rows(ids):
    found = rle.counts_of_each(ids)
    assert sorted(found) == sorted(set(np.unique(ids).tolist()) - {0})
    for number, runs in found.items():
        assert np.array_equal(rle.fill_columns(runs, ids.shape), ids == number)
        assert np.array_equal(rle.fill_rows(rle.counts_of_rows(ids == number), ids.shape), ids == number)


@pytest.mark.parametrize(
    ("text", "says"), [("a b", "other characters"), ("0`", "breaks off"), ("o" * 20 + "0", "beyond any picture")]
)
def test_a_damaged_text_is_refused(text, says):
    with pytest.raises(DataError, match=says):
        rle.decompress(text)


@pytest.mark.parametrize("numbers", [[3, 2], [0, 7], [-1, 7], [2**40, 5]])
def test_run_lengths_of_another_frame_are_refused(numbers):
    with pytest.raises(DataError, match="2x3"):
        rle.fill_columns(numbers, (2, 3))


@few
@given(masks)
def test_a_brush_gives_back_its_mask(mask):
    assert np.array_equal(brush.decode(brush.encode(mask).tolist(), mask.shape), mask)


@few
@given(masks)
def test_label_studio_reads_and_writes_the_same_brush(mask):
    sdk = pytest.importorskip("label_studio_sdk.converter.brush", reason="Label Studio's own converter")
    ours = brush.encode(mask).tolist()
    samples = sdk.decode_rle(ours).reshape(*mask.shape, 4)
    assert np.array_equal(samples, np.repeat(mask[..., None], 4, axis=2) * 255)
    assert np.array_equal(brush.decode(sdk.mask2rle(mask.astype(np.uint8) * 255), mask.shape), mask)


def test_a_brush_splits_runs_longer_than_sixteen_bits():
    mask = np.zeros((300, 301), bool)
    mask[250:, 5:] = True
    assert np.array_equal(brush.decode(brush.encode(mask).tolist(), mask.shape), mask)


def test_single_samples_of_a_brush_are_read():
    # Two pixels, the second one opaque, as eight samples that are not repeated: 0, three bits of kind and length.
    bits = f"{8:032b}" + f"{7:05b}" + "0010" + "0011" + "0111" + "1111" + "0" + "00" + "111"
    bits += "".join(f"{value:08b}" for value in [0, 0, 0, 0, 9, 9, 9, 200])
    bits += "0" * (-len(bits) % 8)
    packed = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert brush.decode(packed, (1, 2)).tolist() == [[False, True]]


def test_a_damaged_brush_is_refused():
    packed = brush.encode(RING).tolist()
    with pytest.raises(DataError, match="its picture 84"):
        brush.decode(packed, (3, 7))
    with pytest.raises(DataError, match="breaks off"):
        brush.decode(packed[:-3], RING.shape)
    with pytest.raises(DataError, match="no byte"):
        brush.decode([*packed, 256], RING.shape)


def test_known_rings():
    outline, hole = polygons.rings(RING)
    assert outline.tolist() == [[1, 1], [4, 1], [4, 4], [1, 4]]
    assert sorted(map(tuple, hole)) == [(2, 2), (2, 3), (3, 2), (3, 3)]


def test_pixels_that_touch_at_a_corner_are_one_island():
    assert len(polygons.rings(np.eye(6, dtype=bool))) == 1
    assert polygons.rings(np.zeros((3, 3), bool)) == []


def area(ring):
    x, y = ring.T
    return (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@few
@given(masks)
def test_rings_enclose_the_area_and_turn_at_every_corner(mask):
    found = polygons.rings(mask)
    assert sum(area(ring) for ring in found) == mask.sum()
    for ring in found:
        steps = np.roll(ring, -1, axis=0) - ring
        assert ((steps == 0).sum(axis=1) == 1).all()
        assert ((steps * np.roll(steps, -1, axis=0)).sum(axis=1) == 0).all()


@few
@given(masks.filter(np.any))
def test_one_polygon_is_the_mask_again(mask):
    polygon = polygons.one_polygon(mask)
    assert np.array_equal(polygons.fill([polygon], mask.shape), mask)
    assert area(polygon) == mask.sum()


@few
@given(masks.filter(np.any))
def test_opencv_fills_one_polygon_like_this_package(mask):
    cv2 = pytest.importorskip("cv2", reason="OpenCV fills polygons independently")
    polygon = polygons.one_polygon(mask)
    # OpenCV paints the outline too: at 8 times the size, with samples off the lines, only the inside is compared.
    canvas = np.zeros((8 * mask.shape[0] + 1, 8 * mask.shape[1] + 1), np.uint8)
    cv2.fillPoly(canvas, [(8 * polygon).astype(np.int32)], 1)
    inside = canvas[2::8, 3::8][: mask.shape[0], : mask.shape[1]] > 0
    bridges = np.zeros_like(canvas)
    cv2.polylines(bridges, [(8 * polygon).astype(np.int32)], True, 1)
    clear = bridges[2::8, 3::8][: mask.shape[0], : mask.shape[1]] == 0
    assert np.array_equal(inside[clear], mask[clear])


@few
@given(masks.filter(np.any))
def test_pycocotools_fills_plain_rings_like_this_package(mask):
    coco = pytest.importorskip("pycocotools.mask", reason="pycocotools fills polygons independently")
    ring = polygons.rings(mask)[0].astype(float)
    theirs = coco.decode(coco.frPyObjects([ring.ravel().tolist()], *mask.shape))[..., 0] > 0
    assert np.array_equal(theirs, polygons.fill([ring], mask.shape))


def test_what_lies_outside_the_frame_is_cut_off():
    square = np.array([(-5.0, -5.0), (2.0, -5.0), (2.0, 9.0), (-5.0, 9.0)])
    assert polygons.fill([square, square + 100], (4, 3)).tolist() == [[True, True, False]] * 4
