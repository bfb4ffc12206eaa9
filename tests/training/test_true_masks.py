"""True masks in place of clusters, from their files to the supervision on the weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from selfvos.data.clips import ClipPlan, FrameRange, cut_clip, frame_ranges, load_clip
from selfvos.data.mask_png import write_mask
from selfvos.data.video_cache import build_video_cache
from selfvos.errors import DataError
from selfvos.models.weights import load_weights
from selfvos.ops.pseudo_objects import ObjectChoice
from selfvos.tracking.system import make_tracker
from selfvos.training.fit import fit
from selfvos.training.settings import ObjectiveSpec
from selfvos.training.true_masks import find_true_masks


@pytest.fixture(scope="module")
def drawn(video_cache, tmp_path_factory):
    """The moving square of every video, as object 7."""
    root = tmp_path_factory.mktemp("masks")
    for pack in video_cache.videos:
        for t in range(len(pack)):
            mask = np.zeros((pack.height, pack.width), dtype=np.uint8)
            mask[20:44, 8 + 6 * t : 32 + 6 * t] = 7
            write_mask(root / pack.name / f"{t:05d}.png", mask)
    return root


def test_a_clip_gets_its_objects_and_never_its_background(video_cache, drawn, config):
    masks = find_true_masks(drawn, video_cache, frame_ranges(video_cache, config.clips))
    plan = ClipPlan(video=1, frames=(0, 2, 3))
    maps = masks.for_clip(plan)
    assert set(np.unique(maps)) == {-1, 6}
    assert (maps[1, 20:44, 20:44] == 6).all()
    generator = torch.Generator().manual_seed(0)
    raw = load_clip(video_cache, plan, maps)
    clip = cut_clip(raw, config.clips, ObjectChoice(), generator=generator, device=torch.device("cpu"))
    assert set(clip.masks.unique().tolist()) == {0, 1}
    red = clip.frames[:, :, 0] - clip.frames[:, :, 2] > 0.5
    assert (red == (clip.masks == 1)).float().mean() > 0.95


@pytest.fixture
def numbered(tmp_path):
    """Twelve frames called 0.png to 11.png, each of its own grey, and a maker of masks under any names."""
    for t in range(12):
        (tmp_path / "videos" / "dog").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 40), (20 * t, 10, 10)).save(tmp_path / "videos" / "dog" / f"{t}.jpg")
    cached = build_video_cache([tmp_path / "videos"], cache=tmp_path / "cache", short_side_px=40)

    def find(names):
        for number, name in enumerate(names):
            write_mask(tmp_path / "masks" / "dog" / name, np.full((40, 48), number + 1, dtype=np.uint8))
        return find_true_masks(tmp_path / "masks", cached, [FrameRange(0, 0, 12)])

    return find


@pytest.mark.parametrize("name", ["{}.png", "{:05d}.png", "{}.PNG"])
def test_a_mask_goes_with_the_frame_of_its_number(numbered, name):
    masks = numbered([name.format(t) for t in range(12)])
    maps = masks.for_clip(ClipPlan(video=0, frames=tuple(range(12))))
    assert [set(np.unique(one)) for one in maps] == [{t} for t in range(12)]


def test_hidden_companions_of_masks_are_passed_over(numbered):
    assert len(numbered([f"{t}.png" for t in range(12)] + ["._3.png"]).files[0]) == 12


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([f"{t}.png" for t in range(1, 13)], "frame 0, mask 1.png"),
        ([f"{t}.png" for t in range(11)], "frame 11, mask none"),
        ([f"{t}.png" for t in range(13)], "frame none, mask 12.png"),
        ([f"a{t}.png" for t in range(12)], "frame 0, mask a0.png"),
    ],
)
def test_names_that_do_not_go_together_are_refused_with_both(numbered, names, told):
    with pytest.raises(DataError, match=f"dog: 12 frames and .* do not go together: {told}"):
        numbered(names)


def test_a_missing_mask_is_told_with_the_video(video_cache, drawn, config, tmp_path):
    with pytest.raises(DataError, match="square0: 9 frames and 0 masks.*frame 00000, mask none"):
        find_true_masks(tmp_path, video_cache, frame_ranges(video_cache, config.clips))


def test_a_run_on_true_masks_clusters_nothing_and_marks_its_weights(
    video_cache, drawn, config, tmp_path, tiny_resnet, monkeypatch
):
    monkeypatch.setattr("selfvos.models.mask_paths.stm._WIDTH", 32)
    model = replace(config.model, backbone=tiny_resnet, stride=16, mask_path="stm")
    joint = replace(config.joint, epochs=1, objectives=(ObjectiveSpec(name="stm"),))
    warmup = replace(config.warmup, epochs=0)
    config = replace(config, model=model, warmup=warmup, joint=joint, true_masks=str(drawn))
    weights = fit(config, video_cache, tmp_path, device=torch.device("cpu"))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["joint", "joint"]
    assert all(np.isfinite(line["stm"]) for line in lines)
    assert not (tmp_path / "pseudo_masks").exists()
    assert make_tracker(load_weights(weights)[0]).supervision == "supervised system stm, trained on true masks"
