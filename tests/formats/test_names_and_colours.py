"""What other programs call objects, and the colours that they give them, come along."""

import json

import numpy as np
import pytest
from tests.tiny import frame_folder, truth

from selfvos import api
from selfvos.formats.base import FORMATS
from selfvos.formats.brush import encode
from selfvos.formats.colours import colour_of

RED, BLUE, PALETTE_2 = (250, 50, 83), (51, 128, 255), (0, 128, 0)
SQUARE = "1.0,1.0;3.0,1.0;3.0,3.0;1.0,3.0"
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>pond</name><size>2</size><mode>{mode}</mode><labels>
<label><name>koi</name><color>#fa3253</color><type>any</type><attributes></attributes></label>
<label><name>duck</name><color>#3380ff</color><type>any</type><attributes></attributes></label>
</labels><original_size><width>8</width><height>6</height></original_size></task></meta>
{shapes}</annotations>
"""


def things(track):
    return {thing.name: thing.colour for thing in track.objects}


def cvat_video(path, *labels):
    tracks = "".join(
        f'<track id="{i}" label="{label}" source="manual">'
        f'<polygon frame="0" keyframe="1" outside="0" occluded="0" points="{SQUARE}" z_order="0"></polygon></track>\n'
        for i, label in enumerate(labels)
    )
    path.write_text(CVAT.format(mode="interpolation", shapes=tracks))
    return path


def test_labels_of_cvat_for_video(tmp_path):
    path = cvat_video(tmp_path / "a.xml", "koi", "duck")
    assert things(api.read_track(path)) == {"koi": RED, "duck": BLUE}
    track = api.import_track(path, tmp_path / "track")
    assert things(track) == {"koi": RED, "duck": BLUE}
    assert things(api.open_track(tmp_path / "track")) == {"koi": RED, "duck": BLUE}


def test_objects_of_one_label_have_colours_of_their_own(tmp_path):
    colours = [thing.colour for thing in api.read_track(cvat_video(tmp_path / "a.xml", "koi", "koi")).objects]
    assert len(set(colours)) == 2
    assert colours[1] == PALETTE_2


def test_labels_of_cvat_for_images(tmp_path):
    image = (
        '<image id="0" name="0.png" width="8" height="6">'
        f'<polygon label="duck" source="manual" occluded="0" points="{SQUARE}" z_order="0"></polygon></image>\n'
    )
    (tmp_path / "a.xml").write_text(CVAT.format(mode="annotation", shapes=image))
    assert things(api.read_track(tmp_path / "a.xml")) == {"duck": BLUE}


def test_categories_of_coco(tmp_path):
    data = {
        "images": [{"id": 1, "file_name": "0.png", "height": 6, "width": 8}],
        "categories": [{"id": 5, "name": "koi", "color": [250, 50, 83]}, {"id": 6, "name": "duck", "color": "#3380ff"}],
        "annotations": [
            {
                "id": i,
                "image_id": 1,
                "track_id": i,
                "category_id": kind,
                "segmentation": [[i, i, i + 2, i, i + 2, i + 2]],
            }
            for i, kind in ((1, 5), (2, 6))
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert things(api.read_track(tmp_path / "a.json")) == {"koi": RED, "duck": BLUE}
    del data["categories"][1]["color"]
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert things(api.read_track(tmp_path / "a.json")) == {"koi": RED, "duck": PALETTE_2}


def test_labels_of_label_studio(tmp_path):
    mask = np.zeros((6, 8), bool)
    mask[1:3, 1:4] = True
    value = {"format": "rle", "rle": encode(mask).tolist(), "brushlabels": ["koi"]}
    result = [{"type": "brushlabels", "original_width": 8, "original_height": 6, "value": value}]
    tasks = [{"data": {"image": "0.jpg"}, "annotations": [{"result": result}]}]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    assert list(things(api.read_track(tmp_path / "tasks.json"))) == ["koi"]
    (tmp_path / "labels.xml").write_text(
        '<View><BrushLabels><Label value="koi" background="#FA3253"/></BrushLabels></View>'
    )
    assert things(api.read_track(tmp_path)) == {"koi": RED}


@pytest.mark.parametrize("name", ["coco", "label-studio", "cvat-video", "cvat-images"])
def test_a_project_keeps_its_names_and_colours_all_the_way(name, tmp_path):
    folder = tmp_path / "project"
    with api.Project.create(folder, frame_folder(tmp_path / "clip", 3)) as project:
        project.draw(0, truth(0))
        project.change_object(1, name="dancer", colour=(1, 2, 3))
    out = tmp_path / f"a{FORMATS.get(name).suffix}"
    api.export(folder, name, out)
    assert things(api.import_track(out, tmp_path / "track")) == {"dancer": (1, 2, 3)}
    again = api.import_track(folder, tmp_path / "again")
    assert things(again) == {"dancer": (1, 2, 3)}
    assert np.array_equal(again.mask(0), truth(0))


def test_a_project_without_a_mask_is_no_track(tmp_path):
    api.Project.create(tmp_path / "project", frame_folder(tmp_path / "clip", 3)).close()
    with pytest.raises(ValueError, match="nothing was drawn or tracked"):
        api.read_track(tmp_path / "project")


@pytest.mark.parametrize(
    ("said", "colour"),
    [
        *(("#fa3253", RED), ("#fa3253ff", RED), ("red", (255, 0, 0)), ([1, 2, 3], (1, 2, 3))),
        *(("no colour", None), (None, None), ([1, 2], None), ([1, 2, 999], None)),
    ],
)
def test_colours_as_other_programs_write_them(said, colour):
    assert colour_of(said) == colour
