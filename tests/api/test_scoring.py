import numpy as np
import pytest
from PIL import Image

from selfvos import api
from selfvos.api.benchmark_runs import BenchmarkRun
from selfvos.data.mask_png import read_mask, write_mask
from selfvos.errors import Stopped
from selfvos.settings import override
from selfvos.types import Watching

FRAMES = 4


@pytest.fixture
def root(tmp_path):
    """Two labelled videos of four frames: a bright square that moves to the right."""
    for name in ("one", "two"):
        for t in range(FRAMES):
            rgb, mask = np.full((32, 48, 3), 60, np.uint8), np.zeros((32, 48), np.uint8)
            rgb[8:24, 4 + 4 * t : 20 + 4 * t], mask[8:24, 4 + 4 * t : 20 + 4 * t] = (220, 60, 20), 1
            write_mask(tmp_path / "data" / "masks" / name / f"{t}.png", mask)
            path = tmp_path / "data" / "frames" / name / f"{t}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb).save(path)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def model():
    return api.load("lab-patches", device="cpu")


@pytest.fixture
def config(model):
    return override(api.track_config(model, None), ["frame.short_side_px=32"])


def stopping_after(stage, done, seen):
    """A watch that asks to stop as soon as it has heard of this."""
    return Watching(lambda *told: seen.append(told), lambda: (stage, done) in [told[:2] for told in seen])


def test_evaluate_goes_on_after_the_last_video_that_it_finished(model, config, root, tmp_path):
    whole = api.evaluate(model, "folder", root=root, out=tmp_path / "whole", config=config)
    out, seen = tmp_path / "out", []
    watch = stopping_after("two", FRAMES + 2, seen)
    with pytest.raises(Stopped, match=r"^stopped; 1 of 2 videos are tracked and kept; run the same command again"):
        api.evaluate(model, "folder", root=root, out=out, config=config, watch=watch)
    assert not (out / "report.json").exists()
    seen.clear()
    report = api.evaluate(model, "folder", root=root, out=out, config=config, watch=Watching(lambda *a: seen.append(a)))
    assert [told for told in seen if told[0] in ("one", "two")] == [("two", FRAMES + t, 8) for t in range(1, 5)]
    assert report.overall == whole.overall
    assert {**report.provenance} == {**whole.provenance}
    for path in (tmp_path / "whole" / "masks").rglob("*.png"):
        assert (out / "masks" / path.parent.name / path.name).read_bytes() == path.read_bytes()
    assert not (out / "tracked.json").exists()


def test_a_run_that_was_asked_something_else_begins_anew(model, config, root, tmp_path):
    out, seen = tmp_path / "out", []
    with pytest.raises(Stopped):
        api.evaluate(model, "folder", root=root, out=out, config=config, watch=stopping_after("two", FRAMES + 1, seen))
    other = override(config, ["memory.last=1"])
    seen.clear()
    api.evaluate(model, "folder", root=root, out=out, config=other, watch=Watching(lambda *a: seen.append(a)))
    assert ("one", 1, 8) in seen


def test_a_stop_while_scoring_loses_no_mask(model, config, root, tmp_path):
    seen = []
    with pytest.raises(Stopped, match="all videos are tracked; run the same command again"):
        api.evaluate(model, "folder", root=root, out=tmp_path, config=config, watch=stopping_after("scoring", 1, seen))
    seen.clear()
    api.evaluate(model, "folder", root=root, out=tmp_path, config=config, watch=Watching(lambda *a: seen.append(a)))
    assert {told[0] for told in seen} == {"scoring"}


def test_a_stop_while_scoring_masks_of_others_writes_nothing(root, tmp_path):
    watch = stopping_after("scoring", 2, [])
    with pytest.raises(Stopped, match="no scores were written; run the same command again"):
        api.score(root / "masks", "folder", root=root, out=tmp_path / "scores", watch=watch)
    with pytest.raises(Stopped, match="the rest was not looked at"):
        api.check_dataset("folder", root=root, watch=stopping_after("checking", 1, []))
    assert not (tmp_path / "scores").exists()


def test_overlays_show_the_masks_of_any_method(root, tmp_path):
    seen = []
    api.draw_overlays(
        root / "masks", "folder", root=root, out=tmp_path / "o", watch=Watching(lambda *a: seen.append(a))
    )
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["one.mp4", "two.mp4"]
    assert seen[-1] == ("drawing overlays", 8, 8)
    from selfvos.data.source import open_source

    frames = [frame.rgb for frame in open_source(tmp_path / "o" / "one.mp4")]
    assert len(frames) == FRAMES
    inside = read_mask(root / "masks" / "one" / "3.png") > 0
    drawn = np.asarray(Image.open(root / "frames" / "one" / "3.png"))
    difference = np.abs(frames[3].astype(int) - drawn)
    assert difference[inside].mean() > 3 * difference[~inside].mean()


def test_tracked_together_or_alone_masks_are_the_same_whoever_looks_ahead(model, config, root, tmp_path):
    smooth = override(config, ["refine.rounds=0", "smooth={}", "smooth.window=3", "smooth.frames=1"])
    ways = {"smooth": smooth, "plain": override(config, ["refine.rounds=0"])}
    runs = {name: BenchmarkRun(config=way, out=tmp_path / name) for name, way in ways.items()}
    done = dict(api.track_together(model, "folder", runs, root=root))
    assert {video: {name: len(times) for name, times in done[video].items()} for video in done} == {
        video: dict.fromkeys(ways, FRAMES) for video in ("one", "two")
    }
    for name, way in ways.items():
        api.evaluate(model, "folder", root=root, out=tmp_path / f"{name} alone", config=way)
        for file in sorted((tmp_path / name / "masks").rglob("*.png")):
            alone = tmp_path / f"{name} alone" / file.relative_to(tmp_path / name)
            assert np.array_equal(read_mask(file), read_mask(alone))
