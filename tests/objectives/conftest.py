"""A small stand-in network and a small moving picture for tests of objectives."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from selfvos.types import Clip, FrameFeatures


class TinySegmenter(nn.Module):
    """Encodes frames with the strides and channels of a ResNet-18; knows nothing of masks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Conv2d(3, 64, 4, stride=4)
        self.layer2 = nn.Conv2d(64, 128, 2, stride=2)
        self.layer3 = nn.Conv2d(128, 256, 1)
        self.layer4 = nn.Conv2d(256, 512, 1)
        self.head = nn.Conv2d(512, 128, 1)
        self.calls: list[torch.Tensor] = []

    def encode_frame(self, frames):
        self.calls.append(frames)
        stages, x = {}, frames - 0.5
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = functional.relu(getattr(self, name)(x))
            stages[name] = x
        return FrameFeatures(key=functional.normalize(self.head(x), dim=1), base=x, stages=stages)

    corrects_masks = False

    def prepare_masks(self, frames, features):
        raise NotImplementedError

    def encode_masks(self, context, masks):
        raise NotImplementedError

    def decode_masks(self, context, readout, values):
        raise NotImplementedError


@pytest.fixture
def segmenter() -> TinySegmenter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TinySegmenter()


@pytest.fixture
def clip() -> Clip:
    """Two clips of five frames, two frames apart, of a texture that moves 3 pixels a frame."""
    noise = torch.rand(2, 3, 36, 36, generator=torch.Generator().manual_seed(0))
    scene = functional.interpolate(noise, size=(144, 144), mode="bilinear")
    frames = torch.stack([scene[..., 3 * t : 3 * t + 128, 3 * t : 3 * t + 128] for t in range(5)], dim=1)
    return Clip(frames=frames, index=(2 * torch.arange(5)).repeat(2, 1))


@pytest.fixture(autouse=True)
def seeded_heads():
    """Let learned heads start alike in every run: a test must not depend on luck."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
