"""Features that are given in place of a network's: a scene that moves, and two objects in its first frame."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.tracking.encoding import EncodedFrame, FrameEncoding
from selfvos.tracking.tracker import Tracker
from selfvos.types import FrameFeatures

STRIDE, GRID, CHANNELS = 4, (14, 18), 12
SIZE = (STRIDE * GRID[0], STRIDE * GRID[1])
FRAME = np.zeros((*SIZE, 3), dtype=np.uint8)


class Given(FrameEncoding):
    """Looks at features that are given, one frame after the other."""

    def __init__(self, features, config):
        super().__init__(model(STRIDE * config.feature.scale), config.frame)
        self._features = iter(features)

    def encode(self, frame, framing):  # noqa: ARG002
        encoded = EncodedFrame(self, torch.zeros(1, 3, *SIZE), framing, 0)
        stage = next(self._features).movedim(2, 0)[None]
        encoded.features = FrameFeatures(key=F.normalize(stage, dim=1), base=stage, stages={"patch": stage})
        return encoded


def model(stride=STRIDE):
    return Segmenter(SegmenterConfig(backbone="lab-patches", stride=stride, mask_path="none")).eval()


def tracker_of(features, config, kind=Tracker):
    """Make a tracker that is given features."""
    tracker = kind(model(STRIDE * config.feature.scale), config)
    tracker._encoding = Given(features, config)
    return tracker


def small(config):
    """Return the settings for a small video and a network of one stage."""
    frame = replace(config.frame, short_side_px=min(SIZE), size_px=None, long_side_multiple=1)
    stage = "key" if config.feature.stage == "key" else "patch"
    return replace(config, frame=frame, feature=replace(config.feature, stage=stage))


def moving(frames, scale=1):
    """Make features of a scene that moves by a cell in each frame, with some noise."""
    generator = torch.Generator().manual_seed(0)
    h, w = GRID[0] // scale, GRID[1] // scale
    scene = torch.randn(h, w + frames, CHANNELS, generator=generator)
    noise = torch.randn(frames, h, w, CHANNELS, generator=generator)
    return torch.stack([scene[:, i : i + w] for i in range(frames)]) + 0.3 * noise


def two_objects():
    ids = np.zeros(SIZE, dtype=np.uint8)
    ids[9:33, 23:47] = 7
    ids[30:50, 50:69] = 3
    return ids
