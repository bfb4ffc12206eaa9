import io

import numpy as np
import pytest
from PIL import Image

from selfvos.data.benchmarks.davis import Davis
from selfvos.data.overlay import colours
from selfvos.evaluation.comparison import compare
from selfvos.evaluation.pictures import MOST, PER_OBJECT, frames_apart, take_pictures, worst_frames
from selfvos.evaluation.report import ObjectSeries, summarise

FRAMES = 6
HEIGHT, WIDTH = 240, 800


@pytest.fixture
def root(tmp_path):
    """A sequence of two squares; its frames are plain blue."""
    root = tmp_path / "DAVIS"
    for kind in ("Annotations", "JPEGImages"):
        (root / kind / "480p" / "pair").mkdir(parents=True)
    for t in range(FRAMES):
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        ids[40:200, 100:300] = 1
        ids[40:200, 500:700] = 2
        Image.fromarray(ids).save(root / "Annotations" / "480p" / "pair" / f"{t:05d}.png")
        blue = np.full((HEIGHT, WIDTH, 3), (30, 60, 200), np.uint8)
        Image.fromarray(blue).save(root / "JPEGImages" / "480p" / "pair" / f"{t:05d}.jpg")
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("pair\n")
    return root


def report(benchmark, *levels):
    """Report on one object for each list of levels, which J and F take."""
    names = tuple(f"{t:05d}" for t in range(1, len(levels[0]) + 1))
    series = [
        ObjectSeries(video="pair", object=i, frames=names, values={"J": np.array(level), "F": np.array(level)})
        for i, level in enumerate(levels, start=1)
    ]
    return summarise(benchmark, series)


@pytest.fixture
def benchmark(root):
    return Davis(root, year=2017, split="val")


def pixels(view):
    return np.array(Image.open(io.BytesIO(view.jpeg)))


def test_worst_frames_come_first_and_not_next_to_each_other(benchmark):
    levels = np.ones(30)
    levels[10:14] = (0.3, 0.1, 0.2, 0.4)
    levels[28] = 0.5
    found = worst_frames(report(benchmark, levels, np.full(30, 0.25)))
    assert found[0] == (0, 11)
    assert (0, 28) in found
    assert len([t for which, t in found if which == 0]) == PER_OBJECT


def test_there_are_never_more_pictures_than_a_page_can_hold(benchmark):
    rng = np.random.default_rng(0)
    many = report(benchmark, *rng.random((20, 30)))
    assert len(worst_frames(many)) == MOST
    assert len(set(worst_frames(many))) == MOST


def test_undefined_frames_are_not_chosen(benchmark):
    assert worst_frames(report(benchmark, [np.nan, 0.9, np.nan, np.nan])) == [(0, 1)]


def test_frames_apart_are_those_with_the_largest_difference(benchmark):
    one, other = report(benchmark, [0.9, 0.2, 0.9, 0.9]), report(benchmark, [0.9, 0.1, 0.9, 0.4])
    assert frames_apart(compare({"a": one, "b": other}))[0] == (0, 3)


def test_pictures_outline_the_truth_and_tint_the_result(benchmark, root):
    truth = root / "Annotations" / "480p"
    scores = report(benchmark, [0.5, 0.6, 0.7, 0.8], [0.9] * 4)
    (picture,) = take_pictures(benchmark, {"mine": truth}, {"mine": scores}, [(0, 0)])
    assert (picture.object, picture.frame) == ("pair_1", "00001")
    outline, tinted = picture.views
    assert (outline.caption, tinted.caption) == ("truth", "mine: J 0.500, F 0.500")
    assert pixels(outline).shape == pixels(tinted).shape == (120, 400, 3)
    np.testing.assert_allclose(pixels(outline)[60, 100], (30, 60, 200), atol=8)  # inside: the frame itself
    blend = (np.array((30, 60, 200)) + colours()[1]) / 2
    np.testing.assert_allclose(pixels(tinted)[60, 100], blend, atol=8)
    assert len(outline.jpeg) + len(tinted.jpeg) < 20_000


def test_without_frames_masks_are_drawn_on_grey(benchmark, root):
    for path in (root / "JPEGImages" / "480p" / "pair").iterdir():
        path.unlink()
    benchmark = Davis(root, year=2017, split="val")
    scores = report(benchmark, [0.5] * 4, [0.9] * 4)
    truth = root / "Annotations" / "480p"
    (picture,) = take_pictures(benchmark, {"mine": truth}, {"mine": scores}, [(1, 2)])
    np.testing.assert_allclose(pixels(picture.views[0])[5, 5], (96, 96, 96), atol=6)
