from dataclasses import replace

import numpy as np
import pytest
import torch

from selfvos.errors import UsageError
from selfvos.models.backbones.resnet import ResNet
from selfvos.models.inference import for_inference
from selfvos.models.joining import join
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights_notes import Quality, WeightsNotes
from selfvos.tracking.system import recommended
from selfvos.tracking.tracker import Tracker

TRACK = {"feature": {"stage": "layer2+layer3"}, "match": {"top_k": 6}}


def network(seed: int, *, supervised=False, track=TRACK, **settings) -> Segmenter:
    torch.manual_seed(seed)
    model = Segmenter(SegmenterConfig(last_stage=3, **{"mask_path": "slim", **settings})).eval()
    model.notes = WeightsNotes(
        track=track,
        quality={"fast": Quality(accuracy=77.0), "best": Quality(accuracy=85.0)},
        supervision="true masks" if supervised else "none",
        pieces=(f"run {seed}",),
    )
    return model


@torch.no_grad()
def test_both_see_the_frame_as_each_does_alone():
    first, second = network(1), network(2, mask_path="none")
    both, frames = join(first, second), torch.rand(1, 3, 32, 40)
    found, one, other = (model.encode_frame(frames) for model in (both, first, second))
    for name in ("layer1", "layer2", "layer3"):
        torch.testing.assert_close(found.stages[name], one.stages[name], rtol=0, atol=0)
        torch.testing.assert_close(found.stages[f"twin_{name}"], other.stages[name], rtol=0, atol=0)
    torch.testing.assert_close(found.key, one.key, rtol=0, atol=0)
    masks = torch.rand(1, 2, 32, 40)
    drawn = [m.encode_masks(m.prepare_masks(frames, f), masks) for m, f in ((both, found), (first, one))]
    torch.testing.assert_close(*drawn, rtol=0, atol=0)


@torch.no_grad()
def test_the_second_is_left_out_where_nobody_looks_at_it():
    first, both, frames = network(1), join(network(1), network(2)), torch.rand(1, 3, 32, 40)
    alone = for_inference(both, ("layer2", "layer3"))
    assert sum(x.numel() for x in alone.parameters()) == sum(x.numel() for x in for_inference(first).parameters())
    found, expected = alone.encode_frame(frames), for_inference(first).encode_frame(frames)
    assert found.stages.keys() == expected.stages.keys() == alone.encoder.backbone.channels.keys()
    for name, stage in expected.stages.items():
        torch.testing.assert_close(found.stages[name], stage, rtol=0, atol=0)
    assert "twin_layer3" in for_inference(both, ("layer3", "twin_layer3")).encode_frame(frames).stages
    assert "twin_layer3" in both.encode_frame(frames).stages, "the network itself stays whole"


def test_trackers_encode_by_what_their_settings_match(monkeypatch):
    seen = []
    forward = ResNet.forward
    monkeypatch.setattr(ResNet, "forward", lambda self, frames: seen.append(type(self)) or forward(self, frames))
    both, frame = join(network(1), network(2)), np.random.default_rng(0).integers(0, 255, (32, 40, 3), dtype=np.uint8)
    mask = np.zeros((32, 40), np.uint8)
    mask[8:24, 8:24] = 1
    settings = recommended(both)
    for stage, encoders in ((settings.feature.stage, 2), ("layer3", 1)):
        config = replace(settings, feature=replace(settings.feature, stage=stage))
        seen.clear()
        Tracker(both, config).start(frame, mask)
        assert len(seen) == encoders


def test_notes_say_to_match_by_both_and_keep_what_was_measured_of_one_beside_it():
    notes = join(network(1), network(2, supervised=True)).notes
    assert notes.track == {"feature": {"stage": "layer2+layer3+twin_layer2+twin_layer3"}, "match": {"top_k": 6}}
    assert notes.quality == {"fast": Quality(accuracy=77.0), "best": Quality(track=notes.track)}
    assert notes.supervision == "true masks"
    assert notes.pieces == ("run 1", "beside it, to be matched as well:", "run 2")


def test_encoders_that_do_not_go_together_are_refused():
    with pytest.raises(UsageError, match="joined where they are alike"):
        join(network(1), network(2, stride=4))
    with pytest.raises(UsageError, match="cannot be joined"):
        join(*(network(seed, backbone="resnet18-grey") for seed in (1, 2)))
    with pytest.raises(UsageError, match="matched by its key"):
        join(network(1, track={}), network(2))
