"""The main job, end to end: learn from videos without labels, track, write, score."""

import json
import subprocess
import sys

import pytest

from selfvos import api
from selfvos.tracking.settings import FrameConfig, RefineConfig, TrackConfig

MEMORY = """
import resource
import numpy as np
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.tracking.settings import FrameConfig, RefineConfig, TrackConfig
from selfvos.tracking.tracker import Tracker

rng = np.random.default_rng(0)
video = rng.integers(0, 256, (20, 120, 160, 3), dtype=np.uint8)
mask = np.zeros((120, 160), dtype=np.uint8)
mask[40:80, 40:80] = 1
tracker = Tracker(Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none")),
                  TrackConfig(refine=RefineConfig(rounds=0), frame=FrameConfig(short_side_px=64)))
tracker.start(video[0], mask)
for t in range(1, 501):
    tracker.step(video[t % 20])
    if t in (50, 500):
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_number_of_frames():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    peaks = [int(line) for line in done.stdout.split()]
    assert len(peaks) == 2
    assert peaks[1] <= 1.05 * peaks[0], peaks


def test_the_demo_clip_is_tracked_with_the_weights_that_ship(tmp_path):
    pytest.importorskip("imageio", reason="the demo extra is not installed")
    model = api.load("default")
    results = api.demo(model, tmp_path, config=api.track_config(model, None))
    for _ in range(5):
        tracked = next(results)
    results.close()
    assert set(tracked.mask.flat) == {0, 1}
    assert not tracked.objects[0].lost
    assert 0.1 < (tracked.mask == 1).mean() < 0.4
    assert len(list((tmp_path / "masks").glob("*.png"))) == 5
    assert (tmp_path / "overlay.mp4").stat().st_size > 10_000


def test_shipped_weights_beat_their_baselines_on_a_real_clip(shared_data, tmp_path):
    """Label propagation on every third frame of one development sequence, against both baselines."""
    root = tmp_path / "data"
    source = shared_data / "davis2016_train"
    for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        folder = root / kind / "480p" / "motorbike"
        folder.mkdir(parents=True)
        for t in range(0, 36, 3):
            (folder / f"{t:05d}.{suffix}").symlink_to(source / kind / "480p" / "motorbike" / f"{t:05d}.{suffix}")
    (root / "ImageSets" / "2016").mkdir(parents=True)
    (root / "ImageSets" / "2016" / "dev.txt").write_text("motorbike\n")
    scores = {}
    for weights in ("default", "random-resnet18", "lab-patches"):
        model = api.load(weights)
        config = api.track_config(model, None)
        config = TrackConfig(
            refine=RefineConfig(rounds=0), feature=config.feature, frame=FrameConfig(short_side_px=320)
        )
        report = api.evaluate(model, "davis-2016-dev", root=root, out=tmp_path / weights, config=config)
        scores[weights] = report.overall["J&F-Mean"]
        assert json.loads((tmp_path / weights / "report.json").read_text())["J&F-Mean"] == scores[weights]
    assert scores["default"] > scores["random-resnet18"], scores
    assert scores["default"] > scores["lab-patches"], scores
