"""TensorBoard, where it is installed: the run's numbers and pictures of what the network sees."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.data.overlay import overlay
from selfvos.models.segmenter import Segmenter
from selfvos.ops.propagation import dense_affinity
from selfvos.tracking.settings import FrameConfig, RefineConfig, TrackConfig
from selfvos.tracking.system import make_tracker
from selfvos.types import Clip

_CLIPS = 4
_TEMPERATURE = 0.05


class TensorBoardLog:
    """Writes to a TensorBoard folder; without the ``logs`` extra it does nothing."""

    def __init__(self, folder: Path) -> None:
        """Open the folder."""
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder))

    def scalars(self, step: int, numbers: dict[str, float]) -> None:
        """Add one point to every curve."""
        if self._writer:
            for name, value in numbers.items():
                self._writer.add_scalar(name, value, step)

    @property
    def writes(self) -> bool:
        """Whether it does anything."""
        return self._writer is not None

    def picture(self, step: int, rgb: UInt8[np.ndarray, "y x 3"]) -> None:
        """Add a picture of what the network sees."""
        if self._writer:
            self._writer.add_image("clips", rgb, step, dataformats="HWC")

    def close(self) -> None:
        """Bring everything to the disk."""
        if self._writer:
            self._writer.close()


@torch.inference_mode()
def draw_clips(model: Segmenter, clip: Clip) -> UInt8[np.ndarray, "y x 3"]:
    """Draw up to four clips, one in each row.

    Columns: first frame with its centre marked, second frame with the affinity of that centre, and where there are
    pseudo masks, those of the first frame, of the second, and the second frame's mask as tracked from the first.
    """
    was_training = model.training
    model.eval()
    rows = [_row(model, clip, i) for i in range(min(_CLIPS, len(clip.frames)))]
    model.train(was_training)
    return np.concatenate(rows)


def _row(model: Segmenter, clip: Clip, i: int) -> UInt8[np.ndarray, "y x 3"]:
    first, second = (_bytes(clip.frames[i, t]) for t in (0, 1))
    keys = model.encode_frame(clip.frames[i, :2]).key
    panels = [_mark_centre(first), _heat(second, _centre_affinity(keys))]
    if clip.masks is not None:
        masks = clip.masks[i, :2].cpu().numpy().astype(np.uint8)
        panels += [overlay(first, masks[0]), overlay(second, masks[1])]
        panels.append(overlay(second, _track(model, first, second, masks[0])) if masks[0].any() else second)
    return np.concatenate(panels, axis=1)


def _track(model: Segmenter, first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> np.ndarray:
    size = FrameConfig(short_side_px=min(first.shape[:2]))
    refine = RefineConfig(rounds=1 if model.mask_path else 0)
    tracker = make_tracker(model, TrackConfig(frame=size, refine=refine))
    tracker.start(first, mask)
    return tracker.step(second)


def _centre_affinity(keys: Float[Tensor, "2 c h w"]) -> Float[Tensor, "h w"]:
    h, w = keys.shape[-2:]
    centre = keys[:1, :, h // 2, w // 2, None]
    return dense_affinity(centre, keys[1:].flatten(2), _TEMPERATURE)[0, :, 0].reshape(h, w)


def _heat(rgb: np.ndarray, weights: Float[Tensor, "h w"]) -> np.ndarray:
    spread = F.interpolate((weights / weights.max())[None, None], size=rgb.shape[:2], mode="bilinear")[0, 0]
    strength = spread.cpu().numpy()[..., None]
    return (rgb * (1 - strength) + np.array([255, 64, 0]) * strength).astype(np.uint8)


def _mark_centre(rgb: np.ndarray) -> np.ndarray:
    y, x = rgb.shape[0] // 2, rgb.shape[1] // 2
    marked = rgb.copy()
    marked[y - 4 : y + 4, x - 4 : x + 4] = (255, 64, 0)
    return marked


def _bytes(frame: Float[Tensor, "3 y x"]) -> UInt8[np.ndarray, "y x 3"]:
    return (frame.clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy()
