"""What is measured on: the demo clip at 480p, and the features that the shipped weights see in it."""

from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import selfvos
from selfvos.api.demonstration import demo_clip, demo_mask
from selfvos.data.mask_png import read_mask
from selfvos.data.source import open_source
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.encoding import FrameEncoding
from selfvos.tracking.feature import MatchedFeature
from selfvos.tracking.recommendation import recommended

SIZE = (480, 854)


@lru_cache(maxsize=1)
def frames(size: tuple[int, int] = SIZE, count: int = 58) -> list[np.ndarray]:
    """Return frames of the demo clip at a size."""
    shown = (frame.rgb for frame in islice(open_source(demo_clip()), count))
    return [np.array(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BICUBIC)) for rgb in shown]


def mask(size: tuple[int, int] = SIZE, objects: int = 1) -> np.ndarray:
    """Return the first frame's mask; for several objects, the bird cut into upright bands."""
    bird = np.array(Image.fromarray(read_mask(demo_mask())).resize(size[::-1], Image.Resampling.NEAREST))
    columns = np.flatnonzero(bird.any(axis=0))
    bands = np.digitize(np.arange(size[1]), np.linspace(columns[0], columns[-1] + 1, objects + 1)[1:-1]) + 1
    return np.where(bird > 0, bands[None], 0).astype(np.uint8)


@lru_cache(maxsize=1)
def model() -> Segmenter:
    """Return the shipped weights."""
    return selfvos.load(device="cpu")


@torch.inference_mode()
def features(count: int) -> torch.Tensor:
    """Return unit-length layer3 features of the first frames, n h w c: 60 x 107 cells of 256 channels."""
    seen = []
    for rgb in frames()[:count]:
        picture = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        padded = F.pad(picture, (0, -SIZE[1] % 8, 0, -SIZE[0] % 8), mode="replicate")
        stage = model().encode_frame(padded).stages["layer3"]
        seen.append(F.normalize(stage, dim=1)[0].permute(1, 2, 0))
    return torch.stack(seen).contiguous()


@torch.inference_mode()
def whitened(count: int) -> torch.Tensor:
    """Return of the first frames what the tracker matches them by as the weights recommend, n h w c."""
    config = recommended(model())
    encoding, feature = FrameEncoding(model(), config.frame), MatchedFeature(model(), config)
    seen = [encoding.encode(rgb, encoding.fit(rgb)) for rgb in frames()[:count]]
    feature.begin(seen[0])
    return torch.stack([feature.key(frame) for frame in seen])


def write_pictures(folder: Path, count: int) -> Path:
    """Write frames as JPEGs, as data sets keep them."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, rgb in enumerate(frames()[:count]):
        Image.fromarray(rgb).save(folder / f"{i:05d}.jpg", quality=90)
    return folder
