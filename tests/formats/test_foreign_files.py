"""Files as other programs write them, and damaged ones."""

import json

import numpy as np
import pytest
from PIL import Image

from selfvos.data.mask_png import write_mask
from selfvos.errors import DataError
from selfvos.formats.base import FORMATS
from selfvos.formats.memory import some_frames, some_objects

SQUARE = [1, 1, 3, 1, 3, 2, 1, 2]


def coco(**changes):
    image = {"id": 7, "file_name": "b/0010.jpg", "height": 4, "width": 5}
    annotation = {
        "id": 1,
        "image_id": 7,
        "category_id": 2,
        "iscrowd": 0,
        "segmentation": [SQUARE],
        "bbox": [1, 1, 2, 1],
    }
    return {
        "images": [image, {**image, "id": 8, "file_name": "b/0009.jpg"}],
        "categories": [{"id": 2, "name": "dog"}],
        "annotations": [
            {**annotation, "attributes": {"track_id": 0}},
            {
                **annotation,
                "id": 2,
                "attributes": {"track_id": 1},
                "segmentation": {"size": [4, 5], "counts": [0, 1, 19]},
            },
        ],
    } | changes


def read(name, path):
    return FORMATS.get(name)().read(path)


def test_cocos_of_others_have_polygons_run_lengths_as_numbers_and_tracks_from_0(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(coco()))
    track = read("coco", tmp_path / "a.json")
    assert [record.name for record in track.frames] == ["0009", "0010"]
    assert [(thing.id, thing.name) for thing in track.objects] == [(1, "dog"), (2, "dog")]
    assert not track.mask(0).any()
    assert track.mask(1).tolist() == [[2, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0] * 5, [0] * 5]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": []}, "lists no image"),
        ({"videos": [{}, {}]}, "holds 2 videos"),
        (
            {"annotations": [{"id": 3, "image_id": 7, "category_id": 2, "segmentation": []}]},
            "annotation 3 has no track",
        ),
        ({"annotations": [{"track_id": 1}]}, "no COCO file"),
        ({"images": [{"id": 7, "file_name": "a.png", "height": 10**6, "width": 10**6}]}, "out of range"),
    ],
)
def test_a_coco_file_that_cannot_be_a_track_is_refused(changes, says, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(coco(**changes)))
    with pytest.raises(DataError, match=says):
        read("coco", tmp_path / "a.json")


CVAT = """<annotations><version>1.1</version><meta><task><name>dance</name><size>9</size><labels/>
<original_size><width>6</width><height>4</height></original_size></task></meta>
<track id="0" label="dog" source="manual">
<polygon frame="3" keyframe="1" outside="0" occluded="0" points="1.20,1.10;3.00,1.10;3.00,3.20;1.20,3.20"></polygon>
<polygon frame="4" keyframe="0" outside="0" occluded="0" points="2.20,1.10;4.00,1.10;4.00,3.20;2.20,3.20"></polygon>
<polygon frame="5" keyframe="1" outside="1" occluded="0" points="2.20,1.10;4.00,1.10;4.00,3.20;2.20,3.20"></polygon>
</track>
<track id="1" label="cat" source="manual">
<box frame="3" keyframe="1" outside="0" occluded="0" xtl="0" ytl="0" xbr="2" ybr="2"></box>
<polygon frame="3" keyframe="1" outside="0" occluded="0" points="5,0;6,0;6,1;5,1"></polygon>
</track></annotations>"""


def test_tracks_that_were_drawn_in_cvat_get_numbers_and_boxes_are_left_out(tmp_path):
    (tmp_path / "a.xml").write_text(CVAT)
    track = read("cvat-video", tmp_path / "a.xml")
    assert track.name == "dance"
    assert [record.index for record in track.frames] == [3, 4, 5]
    assert [(thing.id, thing.name) for thing in track.objects] == [(1, "dog"), (2, "cat")]
    assert track.mask(0).tolist() == [[0, 0, 0, 0, 0, 2], [0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0] * 6]
    assert track.mask(1).sum() == 4
    assert not track.mask(2).any()


def test_masks_that_were_drawn_in_cvat_are_one_object_a_label(tmp_path):
    images = "".join(
        f'<image id="{i}" name="{i}.jpg" width="3" height="2"><mask label="dog" occluded="0" rle="{rle}" '
        f'left="1" top="0" width="2" height="2" z_order="0"></mask></image>'
        for i, rle in enumerate(("0, 4", "1, 2, 1"))
    )
    (tmp_path / "a.xml").write_text(
        f"<annotations><meta><task><mode>annotation</mode></task></meta>{images}</annotations>"
    )
    track = read("cvat-images", tmp_path / "a.xml")
    assert [track.mask(i).tolist() for i in range(2)] == [[[0, 1, 1], [0, 1, 1]], [[0, 0, 1], [0, 1, 0]]]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>', "declares entities"),
        ("</annotations>", "", "no whole XML"),
        ("<height>4</height>", "", "how large"),
        ("5,0;6,0;6,1", "5,0;6;6,1", "shape of cat is damaged"),
        ("5,0;6,0;6,1", "5,0;nan,0;6,1", "no number"),
    ],
)
def test_a_damaged_cvat_file_is_refused(old, new, says, tmp_path):
    (tmp_path / "a.xml").write_text(CVAT.replace(old, new))
    with pytest.raises(DataError, match=says):
        read("cvat-video", tmp_path / "a.xml")


def test_cells_that_divide_stay_apart_and_one_that_comes_back_is_itself(tmp_path):
    tables = "1 0 0 0\n2 1 1 1\n3 1 1 1\n4 0 0 0\n5 2 2 4\n"
    (tmp_path / "res_track.txt").write_text(tables)
    for t, labels in enumerate(([1, 4, 0], [2, 3, 0], [0, 5, 0])):
        Image.fromarray(np.array([labels], np.uint16)).save(tmp_path / f"mask{t:03d}.tif")
    track = read("ctc", tmp_path)
    assert [track.mask(t).tolist() for t in range(3)] == [[[1, 4, 0]], [[2, 3, 0]], [[0, 4, 0]]]
    (tmp_path / "res_track.txt").write_text("1 0 zero 0\n")
    with pytest.raises(DataError, match="res_track.txt: each line has label"):
        read("ctc", tmp_path)


def test_frames_of_several_sizes_are_no_video(tmp_path):
    write_mask(tmp_path / "1.png", np.ones((2, 3), np.uint8))
    write_mask(tmp_path / "2.png", np.ones((3, 2), np.uint8))
    with pytest.raises(DataError, match="mask of frame 1 is 3x2, the first is 2x3"):
        read("png", tmp_path)


def test_a_layout_of_several_videos_asks_for_one(tmp_path):
    for name in ("cow", "dog"):
        write_mask(tmp_path / "Annotations" / "480p" / name / "00000.png", np.ones((2, 3), np.uint8))
    with pytest.raises(DataError, match=r"holds 2 videos \(cow, dog\)"):
        read("davis", tmp_path)
    assert read("png", tmp_path / "Annotations" / "480p" / "dog").name == "dog"


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("coco", "a.json", "{"),
        ("coco", "a.json", "[]"),
        ("label-studio", "a.json", "[{}]"),
        ("label-studio", "a.json", "{}"),
        ("cvat-images", "a.xml", "<annotations/>"),
        ("tiff", "a.tif", "II*"),
    ],
)
def test_what_is_no_such_file_is_refused_in_a_line(name, file, content, tmp_path):
    if FORMATS.get(name).module:
        pytest.importorskip(FORMATS.get(name).module, reason="an extra is not installed")
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match="export it again|export it as|sizes"):
        read(name, tmp_path / file)


def test_pictures_are_no_labels(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="the extra bio is not installed")
    tifffile.imwrite(tmp_path / "a.tif", np.ones((2, 3, 4), np.float32), photometric="minisblack")
    with pytest.raises(DataError, match="float32 pictures, not labels"):
        read("tiff", tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.ones((2, 3, 4, 3), np.uint8), photometric="rgb")
    with pytest.raises(DataError, match="planes of shapes"):
        read("tiff", tmp_path / "b.tif")


def test_a_part_of_a_track_is_a_track(scene):
    part = some_objects(some_frames(scene.track, [1, 4]), [4])
    assert [thing.id for thing in part.objects] == [4]
    assert [record.index for record in part.frames] == [6, 9]
    for place, before in enumerate([1, 4]):
        assert np.array_equal(part.mask(place), np.where(scene.track.mask(before) == 4, 4, 0))
        assert [state.id for state in part.frames[place].objects] == [4]
    with pytest.raises(DataError, match="pond has no object 3; it has 1, 4, 9"):
        some_objects(scene.track, [3])
