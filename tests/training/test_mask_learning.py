"""The mask path itself learns: one clip's pseudo masks are learned, then tracked."""

import pytest
import torch

from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.l_seg import LSeg, LSegConfig
from selfvos.tracking.settings import FrameConfig, RefineConfig, TrackConfig
from selfvos.tracking.tracker import Tracker


def learn(model, clip, *, steps):
    objective = LSeg(LSegConfig())
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss = torch.tensor(torch.inf)
    for _ in range(steps):
        loss = objective(EncodedClip(clip, model), torch.Generator()).total
        if loss < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def region_similarities(model, clip):
    tracker = Tracker(model.eval(), TrackConfig(refine=RefineConfig(rounds=1), frame=FrameConfig(short_side_px=64)))
    frames = (clip.frames[0] * 255).byte().movedim(1, -1).numpy()
    masks = clip.masks[0].numpy()
    tracker.start(frames[0], masks[0])
    results = [tracker.step(frame) for frame in frames[1:]]
    return [
        ((result == i) & (mask == i)).sum() / ((result == i) | (mask == i)).sum()
        for result, mask in zip(results, masks[1:], strict=True)
        for i in (1, 2)
    ]


@pytest.fixture(scope="module")
def trained(squares, tiny_resnet):
    torch.manual_seed(0)
    clip = squares(side=64, square=20, places=((8, 8, 4), (36, 32, -4)))
    model = Segmenter(SegmenterConfig(backbone=tiny_resnet, last_stage=3, mask_path="slim"))
    # One clip seen again and again: running statistics shall be those of this clip.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.3
    return model, clip, learn(model, clip, steps=250)


def test_l_seg_falls_below_a_twentieth(trained):
    assert trained[2] < 0.05


def test_the_learned_masks_are_tracked_from_the_first_frame(trained):
    model, clip, _ = trained
    assert min(region_similarities(model, clip)) > 0.9


def test_without_its_mask_input_the_mask_path_is_lost(trained):
    model, clip, _ = trained
    seeing = model.encode_masks
    model.encode_masks = lambda context, masks: seeing(context, torch.zeros_like(masks))
    try:
        assert min(region_similarities(model, clip)) < 0.5
    finally:
        model.encode_masks = seeing
