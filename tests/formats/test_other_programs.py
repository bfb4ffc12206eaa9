"""Files read by programs that we did not write: what they find is what was tracked.

Datumaro and Label Studio's SDK demand other versions of Pillow and OpenCV than are tested with here. They work all the
same, but cannot be among the development dependencies: `readers.txt` beside this file installs them.
"""

import json
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.data.source import open_source
from selfvos.formats.base import FORMATS
from selfvos.formats.opacity import opacity, smoothed

HOW = "not installed: pip install --no-deps -r tests/formats/readers.txt"


def write(name, scene, out):
    FORMATS.get(name)().write(scene.track, out, video=scene.video)
    return out


def boxes(track, place):
    return {state.id: state.box for state in track.frames[place].objects if state.area}


@pytest.fixture(scope="module")
def datumaro():
    pytest.importorskip("datumaro", reason=HOW)
    from datumaro.components.dataset import Dataset

    return Dataset


def test_pycocotools_finds_every_mask(any_scene, tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="a development dependency")
    track = any_scene.track
    data = coco.COCO(str(write("coco", any_scene, tmp_path / "track.json")))
    for place, record in enumerate(track.frames):
        (image,) = [one for one in data.loadImgs(data.getImgIds()) if one["frame_index"] == record.index]
        ids = np.zeros(track.size, np.uint16)
        for one in data.loadAnns(data.getAnnIds(imgIds=[image["id"]])):
            mask = data.annToMask(one)
            assert mask.sum() == one["area"]
            left, top, right, bottom = boxes(track, place)[one["track_id"]]
            assert one["bbox"] == [left, top, right - left, bottom - top]
            ids[mask > 0] = one["track_id"]
        assert np.array_equal(ids, track.mask(place))
    names = {category["id"]: category["name"] for category in data.loadCats(data.getCatIds())}
    things = {thing.id: thing.name for thing in track.objects}
    assert all(names[one["category_id"]] == things[one["track_id"]] for one in data.loadAnns(data.getAnnIds()))


def test_datumaro_finds_every_mask_in_coco(any_scene, tmp_path, datumaro):
    track = any_scene.track
    (tmp_path / "images" / "val").mkdir(parents=True)
    write("coco", any_scene, tmp_path / "annotations" / "instances_val.json")
    items = {item.id: item for item in datumaro.import_from(str(tmp_path), "coco_instances")}
    assert set(items) == {record.name for record in track.frames}
    for place, record in enumerate(track.frames):
        ids = np.zeros(track.size, np.uint16)
        for one in items[record.name].annotations:
            if one.type.name == "mask":
                ids[one.image > 0] = one.attributes["track_id"]
        assert np.array_equal(ids, track.mask(place))


def test_datumaro_finds_every_mask_of_cvats_images(any_scene, tmp_path, datumaro):
    track = any_scene.track
    (tmp_path / "images").mkdir()
    for record in track.frames:
        Image.new("RGB", track.size[::-1]).save(tmp_path / "images" / f"{record.name}.png")
    write("cvat-images", any_scene, tmp_path / "annotations.xml")
    items = {item.id: item for item in datumaro.import_from(str(tmp_path), "cvat")}
    assert set(items) == {record.name for record in track.frames}
    for place, record in enumerate(track.frames):
        ids = np.zeros(track.size, np.uint16)
        for one in items[record.name].annotations:
            ids[one.image > 0] = int(one.attributes["track_id"])
        assert np.array_equal(ids, track.mask(place))
        assert items[record.name].attributes["frame"] == record.index


def test_datumaro_finds_a_polygon_track_for_every_object_of_cvats_videos(any_scene, tmp_path, datumaro):
    coco = pytest.importorskip("pycocotools.mask", reason="a development dependency")
    track = any_scene.track
    write("cvat-video", any_scene, tmp_path / "annotations.xml")
    items = {item.attributes["frame"]: item for item in datumaro.import_from(str(tmp_path), "cvat")}
    seen = {state.id for record in track.frames for state in record.objects if state.area}
    assert set(items) == ({record.index for record in track.frames} if seen else set())
    for place, record in enumerate(track.frames if seen else ()):
        shapes = items[record.index].annotations
        # One polygon for each object: CVAT keeps the last one of several, and takes all of them for keyframes.
        assert sorted(shape.attributes["track_id"] for shape in shapes) == sorted(seen)
        assert all(shape.type.name == "polygon" and shape.attributes["keyframe"] for shape in shapes)
        ids = np.zeros(track.size, np.uint16)
        for shape in shapes:
            if not shape.attributes["outside"]:
                filled = coco.decode(coco.frPyObjects([list(map(float, shape.points))], *track.size))
                ids[filled[..., 0] > 0] = shape.attributes["track_id"]
        assert np.array_equal(ids, track.mask(place))


def test_datumaro_finds_every_box_of_mot(any_scene, tmp_path, datumaro):
    track = any_scene.track
    write("mot", any_scene, tmp_path / "out")
    items = {int(item.id): item for item in datumaro.import_from(str(tmp_path / "out"), "mot_seq")}
    for place in range(len(track.frames)):
        found = {}
        for one in items[place + 1].annotations:
            left, top, width, height = map(int, one.get_bbox())
            # The rules of MOT count columns and rows from 1; datumaro takes the numbers as they are.
            found[int(one.attributes["track_id"])] = (left - 1, top - 1, left - 1 + width, top - 1 + height)
        assert found == boxes(track, place)


def test_label_studio_exports_the_masks_that_it_was_given(any_scene, tmp_path):
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason=HOW)
    track = any_scene.track
    if track.size[0] * len(track.objects) > 5000:
        pytest.skip("their converter takes a millisecond for each run")
    out = write("label-studio", any_scene, tmp_path / "out")
    tasks = json.loads((out / "tasks.json").read_text())
    labels = {one["label"]: one["id"] for one in tasks[0]["data"]["objects"]}
    for place, task in enumerate(tasks):
        results = [{**one, **one["value"]} for one in task["predictions"][0]["result"]]
        ids = np.zeros(track.size, np.uint16)
        for name, mask in brush.decode_from_annotation("tag", results).items():
            ids[mask > 0] = labels[name.removeprefix("tag-").removesuffix("-0")]
        assert np.array_equal(ids, track.mask(place))
        assert (out / "images" / f"{track.frames[place].name}.jpg").is_file()


def test_what_label_studio_writes_is_read(scene, tmp_path):
    """A person corrected one frame: their annotation counts, not the prediction; another label appeared."""
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason=HOW)
    out = write("label-studio", scene, tmp_path / "out")
    tasks = json.loads((out / "tasks.json").read_text())
    drawn = np.zeros(scene.track.size, np.uint8)
    drawn[3:7, 4:9] = 255
    result = {
        "type": "brushlabels",
        "original_height": drawn.shape[0],
        "original_width": drawn.shape[1],
        "value": {"format": "rle", "rle": brush.mask2rle(drawn), "brushlabels": ["newt"]},
    }
    tasks[2]["annotations"] = [{"result": [result]}]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    again = FORMATS.get("label-studio")().read(tmp_path / "export.json")
    assert again.objects[-1].name == "newt"
    assert again.objects[-1].id == 10
    assert np.array_equal(again.mask(2), np.where(drawn, 10, 0))
    assert np.array_equal(again.mask(1), scene.track.mask(1))


def test_tifffile_reads_labels_over_time(any_scene, tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="the extra bio is not installed")
    track = any_scene.track
    with tifffile.TiffFile(write("tiff", any_scene, tmp_path / "track.ome.tif")) as file:
        assert file.is_ome
        (series,) = file.series
        about = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        stack = series.asarray(squeeze=False) if hasattr(series, "squeeze") else series.asarray()
    assert stack.dtype == np.uint16
    assert about["Name"] == track.name
    assert about["Pixels"]["SizeT"] == len(track.frames)
    assert about["Pixels"]["TimeIncrement"] == pytest.approx(1 / track.fps, rel=1e-6)
    assert np.array_equal(stack.reshape(-1, *track.size), np.stack([track.mask(i) for i in range(len(track.frames))]))


def test_tifffile_reads_the_cells_of_the_challenge(scene, tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="the extra bio is not installed")
    folder = write("ctc", scene, tmp_path / "out") / "01_GT" / "TRA"
    frames = [tifffile.imread(path) for path in sorted(folder.glob("man_track*.tif"))]
    lines = [tuple(map(int, line.split())) for line in (folder / "man_track.txt").read_text().splitlines()]
    # Object 4 is there in frames 0, 1, 4 and 6; 9 in 1, 2 and 5; 1 in 2, 4 and 5: each return is a new label.
    assert [(first, last, parent) for _, first, last, parent in lines] == [
        (2, 2, 0),
        (0, 1, 0),
        (1, 2, 0),
        (4, 5, 1),
        (4, 4, 4),
        (5, 5, 9),
        (6, 6, 11),
    ]
    for label, first, last, _ in lines:
        assert [t for t, labels in enumerate(frames) if (labels == label).any()] == list(range(first, last + 1))
    assert all(labels.dtype == np.uint16 for labels in frames)


def test_a_benchmark_reads_the_layout_of_davis(scene, tmp_path):
    benchmark = BENCHMARKS.get("davis-2017-val")(write("davis", scene, tmp_path / "out"))
    (video,) = benchmark.videos
    assert video.name == "pond"
    assert video.frame_names == tuple(record.name for record in scene.track.frames)
    assert [np.array_equal(video.truth(name), scene.track.mask(i)) for i, name in enumerate(video.frame_names)] == [
        True
    ] * 7
    assert open_source(video.frames[0].parent).size == scene.track.size


def test_the_overlay_shows_the_tracked_frames_at_their_times(scene, tmp_path):
    track = scene.track
    with av.open(str(write("overlay", scene, tmp_path / "out.mp4"))) as film:
        shown = [float(frame.pts * frame.time_base) for frame in film.decode(video=0)]
    start = track.frames[0].seconds
    assert shown == pytest.approx([record.seconds - start for record in track.frames], abs=1e-4)


def test_a_matte_holds_opacity_exactly_and_colours_nearly(scene, tmp_path):
    track, pictures = scene.track, list(scene.video)
    with av.open(str(write("prores4444", scene, tmp_path / "out.mov"))) as film:
        stream = film.streams.video[0]
        assert stream.codec_context.name == "prores"
        assert stream.average_rate == Fraction(30000, 1001)
        frames = list(film.decode(video=0))
    assert len(frames) == len(track.frames)
    height, width = track.size
    for place, frame in enumerate(frames):
        assert frame.format.name in {"yuva444p10le", "yuva444p12le"}
        depth = 4095 if "12" in frame.format.name else 1023
        samples = np.frombuffer(memoryview(frame.planes[3]), np.uint16).reshape(frame.planes[3].height, -1)
        alpha = samples[:height, :width] / depth * 255
        assert np.abs(alpha - opacity(track, place)).max() < 0.2
        assert np.array_equal(alpha >= 127.5, track.mask(place) > 0)
        rgb = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray().astype(int)
        # Noise is the hardest picture there is; a swap of channels or of ranges would be out by far more.
        assert np.abs(rgb - pictures[track.frames[place].index].rgb).mean() < 8


def test_ffprobe_knows_the_films(scene, tmp_path):
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed: apt-get install ffmpeg")
    for name, codec, pixels in (("prores4444", "prores", "yuva444p"), ("overlay", "h264", "yuv420p")):
        out = write(name, scene, tmp_path / f"out{FORMATS.get(name).suffix}")
        command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(out)]
        (stream,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
        assert stream["codec_name"] == codec
        assert stream["pix_fmt"].startswith(pixels)
        assert int(stream["nb_read_frames"]) == len(scene.track.frames)
        assert stream["r_frame_rate"] == "30000/1001"
        assert stream["color_space"] == "bt709"
        if name == "prores4444":
            assert stream["profile"] == "4444"
            assert (stream["height"], stream["width"]) == scene.track.size


def test_cut_outs_show_the_frame_where_the_objects_are(scene, tmp_path):
    out = write("rgba", scene, tmp_path / "out")
    pictures = list(scene.video)
    for place, record in enumerate(scene.track.frames):
        with Image.open(out / f"{record.name}.png") as image:
            assert image.mode == "RGBA"
            shown = np.asarray(image)
        assert np.array_equal(shown[..., :3], pictures[record.index].rgb)
        assert np.array_equal(shown[..., 3] >= 128, scene.track.mask(place) > 0)


def test_edges_are_one_pixel_soft_on_either_side():
    mask = np.zeros((7, 8), bool)
    mask[:, 4:] = True
    assert smoothed(mask)[3].tolist() == [0, 0, 0, 64, 191, 255, 255, 255]
    dot = np.zeros((3, 3), bool)
    dot[1, 1] = True
    assert smoothed(dot).max() == smoothed(dot)[1, 1] == 128


def test_a_tracks_own_soft_mask_is_preferred(scene):
    class Soft(type(scene.track)):
        def opacity(self, place):
            return np.full(self.size, 10 * place, np.uint8)

    soft = Soft(**vars(scene.track))
    assert opacity(soft, 3).max() == opacity(soft, 3).min() == 30
