"""True masks in place of clusters, from their files to the supervision on the weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from selfvos.data.clips import ClipPlan, assemble, frame_ranges, load_clip
from selfvos.data.mask_png import write_mask
from selfvos.errors import DataError
from selfvos.models.weights import load_weights
from selfvos.ops.paste import PasteConfig
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
    clip = assemble([raw], config.clips, ObjectChoice(), PasteConfig(), generator=generator, device=torch.device("cpu"))
    assert set(clip.masks.unique().tolist()) == {0, 1}
    red = clip.frames[:, :, 0] - clip.frames[:, :, 2] > 0.5
    assert (red == (clip.masks == 1)).float().mean() > 0.95


def test_a_missing_mask_is_told_with_the_video(video_cache, drawn, config, tmp_path):
    with pytest.raises(DataError, match="square0: 9 frames and 0 masks"):
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
