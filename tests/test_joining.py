import numpy as np
import pytest
import torch

from selfvos import api
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import save_weights
from selfvos.tracking.tracker import Tracker


def test_joined_weights_load_track_and_say_how(tmp_path):
    torch.manual_seed(0)
    untrained = Segmenter(api.load("default", device="cpu").config)
    save_weights(tmp_path / "other.safetensors", untrained)
    out = api.join("default", tmp_path / "other.safetensors", out=tmp_path / "both.safetensors")
    model = api.load(out, device="cpu")
    config = api.track_config(model, None, None)
    assert config.feature.stage == "layer2+layer3+twin_layer2+twin_layer3"
    ours = api.load("default", device="cpu")
    kept, beside = model.encoder.backbone.state_dict(), untrained.encoder.backbone.state_dict()
    for name, tensor in ours.encoder.backbone.state_dict().items():
        torch.testing.assert_close(kept[name], tensor, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(kept[f"twin.{name}"], beside[name], rtol=1e-3, atol=1e-4)
    frames = [np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)] * 3
    mask = np.zeros((48, 64), np.uint8)
    mask[8:32, 16:40] = 1
    tracker = Tracker(model, config.at_size(48))
    tracker.start(frames[0], mask)
    for frame in frames[1:]:
        assert (tracker.step(frame) == mask).mean() > 0.95


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no \.safetensors file"):
        api.join("default", "default", out=tmp_path / "both.pth")
