"""STM and RGMP learn one clip's masks and then track them, behind the interface of the tracker."""

import numpy as np
import pytest
import torch

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.objectives.base import OBJECTIVES, EncodedClip
from selfvos.tracking.settings import FrameConfig, RefineConfig, SystemSpec, TrackConfig
from selfvos.tracking.system import MaskTracker, make_tracker
from selfvos.tracking.tracker import Tracker
from selfvos.training.settings import ObjectiveSpec
from selfvos.training.step import TrainingStep
from selfvos.types import Clip

SQUARES = {"side": 48, "square": 16, "places": ((4, 4, 4), (26, 26, -4))}
LAST_STAGE = {"stm": 3, "rgmp": 4}


def build(system, backbone):
    """The networks of a system, narrow enough to learn within a test."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"selfvos.models.mask_paths.{system}._WIDTH", 32)
        return Segmenter(
            SegmenterConfig(
                backbone=backbone, last_stage=LAST_STAGE[system], stride=16, key_channels=8, mask_path=system
            )
        )


def learn(model, objective, clip, *, steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss = torch.tensor(torch.inf)
    for _ in range(steps):
        loss = objective(EncodedClip(clip, model), torch.Generator()).total
        if loss < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def as_video(clip):
    return (clip.frames[0] * 255).byte().movedim(1, -1).numpy(), clip.masks[0].numpy()


@pytest.fixture(scope="module", params=["stm", "rgmp"])
def trained(request, tiny_resnet, squares):
    clip, model = squares(**SQUARES), build(request.param, tiny_resnet)
    # One clip seen again and again: running statistics shall be those of this clip.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.3
    kind = OBJECTIVES.get(request.param)
    loss = learn(model, kind(kind.Config()), clip, steps=400)
    return request.param, model.eval(), clip, loss


def test_the_learned_masks_are_tracked_from_the_first_frame(trained):
    _, model, clip, loss = trained
    assert loss < 0.1
    tracker = make_tracker(model, TrackConfig(frame=FrameConfig(short_side_px=SQUARES["side"])))
    frames, masks = as_video(clip)
    tracker.start(frames[0], masks[0])
    for frame, mask in zip(frames[1:], masks[1:], strict=True):
        result = tracker.step(frame)
        for i in (1, 2):
            assert ((result == i) & (mask == i)).sum() / ((result == i) | (mask == i)).sum() > 0.8


def test_has_the_interface_of_the_tracker(trained):
    system, model, clip, _ = trained
    tracker = make_tracker(model, TrackConfig(frame=FrameConfig(short_side_px=SQUARES["side"])))
    assert isinstance(tracker, MaskTracker)
    assert tracker.supervision == f"supervised system {system}, trained on pseudo masks"
    frames, masks = as_video(clip)
    ids = np.array([0, 700, 3])[masks]
    assert (tracker.start(frames[0], ids[0]) == ids[0]).all()
    result = tracker.step(frames[1])
    assert result.dtype == np.uint16
    assert result.shape == (SQUARES["side"], SQUARES["side"])
    assert set(np.unique(result)) == {0, 3, 700}
    assert [state.id for state in tracker.objects] == [3, 700]
    again = make_tracker(model, TrackConfig(frame=FrameConfig(short_side_px=SQUARES["side"])))
    again.start(frames[0], ids[0])
    np.testing.assert_array_equal(again.step(frames[1]), result)


def test_an_object_may_appear_later(trained):
    _, model, clip, _ = trained
    tracker = make_tracker(model, TrackConfig(frame=FrameConfig(short_side_px=SQUARES["side"])))
    frames, masks = as_video(clip)
    tracker.start(frames[0], np.where(masks[0] == 1, 1, 0))
    given = np.where(masks[1] == 2, 2, 0)
    assert (tracker.step(frames[1], given)[given == 2] == 2).all()
    assert [state.id for state in tracker.objects] == [1, 2]
    assert set(np.unique(tracker.step(frames[2]))) <= {0, 1, 2}


def test_gradients_reach_every_network(trained):
    system, model, clip, _ = trained
    kind = OBJECTIVES.get(system)
    model.zero_grad()
    kind(kind.Config())(EncodedClip(clip, model), torch.Generator()).total.backward()
    parts = {"body", "head", "refine4", "refine8"} | ({"remember", "look_up"} if system == "stm" else {"join"})
    for part in parts:
        weights = model.mask_path.get_submodule(part).parameters()
        assert sum(p.grad.abs().sum() for p in weights if p.grad is not None) > 0, part
    assert model.encoder.backbone.get_parameter("layer1.0.conv1.weight").grad.abs().sum() > 0


@pytest.mark.parametrize("system", ["stm", "rgmp"])
def test_what_does_not_go_together_is_refused(system, tiny_resnet):
    model = build(system, tiny_resnet).eval()
    with pytest.raises(UsageError, match="set refine.rounds to 0"):
        Tracker(model, TrackConfig(system=SystemSpec(name="memory")))
    Tracker(model, TrackConfig(refine=RefineConfig(rounds=0)))  # label propagation needs no mask path
    with pytest.raises(UsageError, match="l_seg.*memory"):
        TrainingStep(model, (ObjectiveSpec(name="l_seg"),))
    plain = Segmenter(SegmenterConfig(backbone=tiny_resnet, last_stage=3, key_channels=8, mask_path="none")).eval()
    with pytest.raises(UsageError, match=f"needs weights that were trained for it.*{system}_resnet18"):
        make_tracker(plain, TrackConfig(refine=RefineConfig(rounds=0), system=SystemSpec(name=system)))
    with pytest.raises(UsageError, match="stride 4 or 8, got 16"):
        Segmenter(SegmenterConfig(last_stage=3, stride=16, mask_path="slim"))


@pytest.mark.parametrize("system", ["stm", "rgmp"])
def test_clips_that_are_too_short_or_have_no_masks_are_refused(system, tiny_resnet, squares):
    kind, clip, model = OBJECTIVES.get(system), squares(**SQUARES), build(system, tiny_resnet)
    objective = kind(kind.Config())
    with pytest.raises(ValueError, match="at least 3 frames, got 2"):
        objective(EncodedClip(Clip(clip.frames[:, :2], clip.index[:, :2]), model), torch.Generator())
    with pytest.raises(ValueError, match="has none"):
        objective(EncodedClip(Clip(clip.frames, clip.index), model), torch.Generator())
    with pytest.raises(UsageError, match="2 frames"):
        kind.Config(frames=1)
