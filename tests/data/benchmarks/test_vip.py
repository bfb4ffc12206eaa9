import numpy as np
import pytest
from PIL import Image

from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.data.benchmarks.vip import CLASSES, VARIANTS
from selfvos.errors import DataError
from selfvos.settings import from_dict
from selfvos.tracking.settings import TrackConfig

PARTS = np.array([[0, 2, 19], [255, 13, 0]], np.uint8)


def make(root, *videos, frames=3):
    for name in videos:
        pictures, masks = root / "Images" / name, root / "Annotations" / "Category_ids" / name
        pictures.mkdir(parents=True)
        masks.mkdir(parents=True)
        for i in range(frames):
            Image.new("RGB", (3, 2)).save(pictures / f"{i + 1:012d}.jpg")
            Image.fromarray(PARTS).save(masks / f"{i + 1:012d}.png")
    (root / "lists").mkdir()
    (root / "lists" / "val_videos.txt").write_text("\n".join(videos) + "\n\n")
    return root


def test_all_frames_with_a_part_map_count(tmp_path):
    benchmark = BENCHMARKS.get("vip-spa")(make(tmp_path, "videos1", "videos22"))
    (video, other) = benchmark.videos
    assert (video.name, other.name, benchmark.task, len(benchmark.labels)) == ("videos1", "videos22", "parts", 20)
    assert video.counted == video.required == video.frame_names == tuple(f"{i:012d}" for i in (1, 2, 3))
    assert video.given == video.frame_names[:1]
    assert len(video.frames) == 3
    assert video.objects == tuple(range(1, 20))
    assert list(benchmark.faults()) == ["list val: 2 of 50 videos listed"]


def test_void_is_kept_from_trackers_and_not_from_the_scorer(tmp_path):
    (video,) = BENCHMARKS.get("vip-uvc")(make(tmp_path, "a")).videos
    np.testing.assert_array_equal(video.truth(video.given[0]), PARTS)
    np.testing.assert_array_equal(video.given_mask(video.given[0]), np.where(PARTS == 255, 0, PARTS))


def test_frames_without_a_part_map_are_tracked_and_not_scored(tmp_path):
    make(tmp_path, "a", frames=4)
    for i in (1, 3):
        (tmp_path / "Annotations" / "Category_ids" / "a" / f"{i:012d}.png").unlink()
    (video,) = BENCHMARKS.get("vip-uvc")(tmp_path).videos
    assert (video.given, video.counted) == ((f"{2:012d}",), (f"{2:012d}", f"{4:012d}"))
    assert video.required == tuple(f"{i:012d}" for i in (2, 3, 4))
    with pytest.raises(DataError, match="no annotation .*000000000003.png: download the annotations"):
        video.truth(f"{3:012d}")


def test_variants_say_how_to_track():
    found = {name: from_dict(TrackConfig, dict(variant.track)) for name, variant in VARIANTS.items()}
    assert {name: (one.memory.last, one.match.top_k, one.show.decide_at) for name, one in found.items()} == {
        "uvc": (1, 5, "tracked"),
        "crw": (20, 10, "tracked"),
        "spa": (20, 10, "native"),
    }
    assert {(one.frame.size_px, one.refine.rounds, one.labels.lost_below) for one in found.values()} == {
        ((560, 560), 0, 0.0)
    }
    spa = found["spa"].match
    assert (spa.radius_cells, spa.window, spa.temperature, spa.exempt_permanent) == (16.0, "square", 0.07, False)
    assert (len(CLASSES), CLASSES[0], CLASSES[19]) == (20, "background", "left-shoe")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match="no list .*val_videos.txt: give the folder VIP_Fine"):
        BENCHMARKS.get("vip-crw")(tmp_path)
    make(tmp_path, "a")
    (tmp_path / "Images" / "b").mkdir()
    (tmp_path / "lists" / "val_videos.txt").write_text("a\nghost\n")
    benchmark = BENCHMARKS.get("vip-crw")(tmp_path)
    assert benchmark.unlisted() == ("b",)
    with pytest.raises(DataError, match="no part map in .*ghost"):
        _ = benchmark.videos[1].frame_names
    (tmp_path / "lists" / "val_videos.txt").write_text("\n")
    with pytest.raises(DataError, match="lists no video"):
        BENCHMARKS.get("vip-crw")(tmp_path)
