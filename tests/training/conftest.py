from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from selfvos.data.clips import ClipConfig
from selfvos.data.video_cache import build_video_cache
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.clustering import ClusterConfig
from selfvos.ops.warp import CropConfig
from selfvos.training.settings import ObjectiveSpec, PhaseConfig, PseudoMaskConfig, TrainConfig
from selfvos.types import Clip

SIDE = 64


def moving_square(number, frames=9):
    """A bright square that crosses a textured ground: (frames y x 3)."""
    rng = np.random.default_rng(number)
    ground = np.kron(rng.integers(40, 120, (SIDE // 8, 96 // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    video = np.repeat(ground[None], frames, axis=0)
    for t in range(frames):
        video[t, 20:44, 8 + 6 * t : 32 + 6 * t] = (230, 60 + 40 * number, 30)
    return video


@pytest.fixture(scope="session")
def squares():
    """Make a clip of two squares of the ground's own texture, told apart by their motion and their masks alone."""

    def make(side, square, places):
        """`places`: top, left and step to the right of each square."""
        generator = torch.Generator().manual_seed(0)
        ground = torch.rand(3, side // 4, side // 4, generator=generator)
        ground = ground.repeat_interleave(4, 1).repeat_interleave(4, 2)
        frames, masks = [], []
        for t in range(3):
            frame, mask = ground.clone(), torch.zeros(side, side, dtype=torch.long)
            for i, (y, x, step) in enumerate(places, start=1):
                rows, columns = slice(y, y + square), slice(x + step * t, x + step * t + square)
                first = square // 2 * i
                frame[:, rows, columns] = ground[:, square : 2 * square, first : first + square].flip(-1)
                mask[rows, columns] = i
            frames.append(frame)
            masks.append(mask)
        return Clip(frames=torch.stack(frames)[None], index=torch.arange(3)[None], masks=torch.stack(masks)[None])

    return make


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Four frame folders with one moving square each."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(4):
        folder = root / f"square{number}"
        folder.mkdir()
        for t, frame in enumerate(moving_square(number)):
            Image.fromarray(frame).save(folder / f"{t:05d}.png")
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def video_cache(videos, cache):
    return build_video_cache([videos], cache=cache, short_side_px=320)


@pytest.fixture
def config():
    """Both phases in ten small steps, with three rounds of pseudo masks."""
    short = ObjectiveSpec(name="l_short")
    phase = PhaseConfig(epochs=2, steps_per_epoch=2, batch_clips=2, objectives=(short,))
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim", key_channels=16),
        clips=ClipConfig(offsets=(0, 1, 2), frame_step=1, crop_px=SIDE, crop=CropConfig(max_short_side=1.0)),
        warmup=phase,
        joint=replace(phase, epochs=3, objectives=(ObjectiveSpec(name="l_seg"), short)),
        pseudo_masks=PseudoMaskConfig(
            refresh_epochs=1, clusters=ClusterConfig(clusters=3), short_side_px=SIDE, max_videos=3, max_frames=6
        ),
        seed=5,
        precision="float32",
        checkpoint_steps=3,
    )
