"""Label propagation as CRW's test script does it, step by step, from the picture file to the result file."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks.reference.matcher import dense_matches
from selfvos.models.segmenter import Segmenter

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LAST = 20


class NaiveTracker:
    """Follows one mask with the dense affinity of 21 frames; a short memory is padded with copies of the first.

    Two costs of the original are left out, in its favour: the 20 copies of the first frame are not encoded again, and
    the network is the one that ours uses, without reflection padding.
    """

    def __init__(self, model: Segmenter, first: Path, mask: np.ndarray) -> None:
        self._model = model
        self._features = [self._encode(first)]
        self._shape = mask.shape
        labels = torch.from_numpy(np.stack([mask == i for i in range(int(mask.max()) + 1)])).float()
        h, w, _ = self._features[0].shape
        self._labels = [F.interpolate(self._pad(labels[None]), size=(h, w), mode="area")[0].permute(1, 2, 0)]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        h, w, _ = self._features[0].shape
        return h, w

    @torch.inference_mode()
    def remember(self, picture: Path, labels: torch.Tensor) -> None:
        """Take over a frame (labels h w o1) that somebody else has tracked."""
        self._features.append(self._encode(picture))
        self._labels.append(labels)

    @torch.inference_mode()
    def step(self, picture: Path, result: Path) -> np.ndarray:
        """Track one frame and write its mask."""
        query = self._encode(picture)
        latest = range(max(1, len(self._features) - _LAST), len(self._features))
        order = [0] * (1 + _LAST - len(latest)) + list(latest)
        memory = torch.stack([self._features[i] for i in order])
        cells, weights = dense_matches(query, memory, radius=12.0, top_k=10, temperature=0.05)
        values = torch.stack([self._labels[i] for i in order]).flatten(0, 2)
        labels = (values[cells] * weights[..., None]).sum(dim=1).view(*query.shape[:2], -1)
        self._features.append(query)
        self._labels.append(labels)
        maps = F.interpolate(labels.permute(2, 0, 1)[None], scale_factor=8.0, mode="bilinear", align_corners=False)
        ids = maps[0, :, : self._shape[0], : self._shape[1]].argmax(dim=0).numpy().astype(np.uint8)
        shades = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]], dtype=np.uint8)
        Image.fromarray(shades[ids]).save(result)
        return ids

    @torch.inference_mode()
    def _encode(self, picture: Path) -> torch.Tensor:
        rgb = np.asarray(Image.open(picture).convert("RGB")).astype(np.float64) / 255
        for channel in range(3):
            rgb[..., channel] = (rgb[..., channel] - _MEAN[channel]) / _SPREAD[channel]
        frame = self._pad(torch.from_numpy(rgb).permute(2, 0, 1)[None].float())
        stage = self._model.encoder.backbone(frame)["layer3"]
        return F.normalize(stage, dim=1)[0].permute(1, 2, 0).contiguous()

    def _pad(self, frame: torch.Tensor) -> torch.Tensor:
        return F.pad(frame, (0, -frame.shape[3] % 8, 0, -frame.shape[2] % 8), mode="replicate")
