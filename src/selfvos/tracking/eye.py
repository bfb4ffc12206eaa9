"""How a tracker looks at a frame: resized, encoded, and cut down to what is matched."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.models.inference import for_inference
from selfvos.models.precision import autocast, decide
from selfvos.models.segmenter import Segmenter
from selfvos.ops.matched import check_matched, matched
from selfvos.ops.matching import Matches
from selfvos.ops.whitening import Whitening, fit_whitening
from selfvos.tracking.framing import Framing
from selfvos.tracking.settings import TrackConfig
from selfvos.types import FrameFeatures


@dataclass
class _Glance:
    """The frame that eyes side by side saw last, and what the network said of it."""

    frame: UInt8[np.ndarray, "y x 3"] | None = None
    seen: tuple[Float[Tensor, "1 3 y2 x2"], FrameFeatures] | None = None
    found: dict[Hashable, tuple[Matches, float]] = field(default_factory=dict)
    """What it was matched with, and the seconds that took."""


class Eye:
    """A network made ready for watching, and the settings by which it looks."""

    def __init__(self, model: Segmenter, config: TrackConfig, beside: "Eye | None" = None) -> None:
        """Make a network ready.

        Args:
            model: Network in evaluation mode; it is not changed.
            config: Says how large frames are, what is matched, and in what precision to compute.
            beside: An eye with the same network, that looks at the same frames at the same size and precision (see
                `sight`): what one of both has just seen is not encoded again.

        Raises:
            UsageError: The network has no such feature, or not in that way, or the other eye sees frames otherwise.
        """
        check_matched(config.feature.stage, model.encoder.backbone.channels)
        parts = config.feature.scale, config.labels.scale
        if model.stride % (parts[0] * parts[1]):
            raise UsageError(f"feature.scale times labels.scale must divide the stride {model.stride}, got {parts}")
        self.precision = decide(config.frame.precision, model.device)
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""
        if beside is not None and sight(config) != sight(beside._config):
            raise UsageError("eyes side by side need frames of the same size and the same precision")
        self.model = for_inference(model) if beside is None else beside.model
        self.stride = model.stride // config.feature.scale
        """Pixels per cell that is matched."""
        self.spared_s = 0.0
        """Seconds of matching that an eye beside this one has spared it in the frame that it saw last."""
        self._config = config
        self._whitening: Whitening | None = None
        # Kept by eyes side by side alone: a frame's features take more memory than all else that a tracker holds of it.
        self._glance: _Glance | None = None
        if beside is not None:
            self._glance = beside._glance = beside._glance or _Glance()

    def fit(self, frame: UInt8[np.ndarray, "y x 3"]) -> Framing:
        """Return the sizes of the video that a frame belongs to."""
        return Framing.fit((frame.shape[0], frame.shape[1]), self._config.frame, self.model.stride)

    def look(
        self, frame: UInt8[np.ndarray, "y x 3"], framing: Framing
    ) -> tuple[Float[Tensor, "1 3 y2 x2"], FrameFeatures]:
        """Return a frame as the network sees it, and what it says of it."""
        glance, self.spared_s = self._glance, 0.0
        if glance is not None and glance.frame is frame and glance.seen is not None:
            return glance.seen
        image = framing.frame(frame, self.model.device)
        seen = image, self.features(image)
        if glance is not None:
            glance.frame, glance.seen = frame, seen
            glance.found.clear()
        return seen

    def find(self, known: Hashable, match: Callable[[], Matches]) -> Matches:
        """Return what the frame that was looked at last matches, found once for eyes side by side.

        Args:
            known: What they compare it with: the same for two eyes only if they would find the same.
            match: Finds it.
        """
        glance = self._glance
        if glance is None:
            return match()
        if known not in glance.found:
            begin = time.perf_counter()
            found = match()
            self._wait()
            glance.found[known] = found, time.perf_counter() - begin
            return found
        found, seconds = glance.found[known]
        self.spared_s += seconds
        return found

    def features(self, image: Float[Tensor, "1 3 y x"]) -> FrameFeatures:
        """Return what the network says of a frame that is resized and padded."""
        with autocast(self.precision, image.device):
            features = self.model.encode_frame(image)
        stages = {name: stage.float() for name, stage in features.stages.items()}
        return FrameFeatures(key=features.key, base=features.base.float(), stages=stages)

    def look_ahead(self, frame: UInt8[np.ndarray, "y x 3"]) -> None:
        """Encode a frame now, so that looking at it later costs nothing."""
        self._glance = self._glance or _Glance()
        self.look(frame, self.fit(frame))
        self._wait()

    def _wait(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)

    def begin(self, features: FrameFeatures) -> None:
        """Learn from the first frame of a video how its frames are compared."""
        self._whitening = None
        if self._glance is not None:
            self._glance.found.clear()  # its first frame may be the last one of the video before
        if self._config.feature.whiten is not None:
            self._whitening = fit_whitening(self.key(features), self._config.feature.whiten)

    def key(self, features: FrameFeatures) -> Float[Tensor, "h w c"]:
        """Return what is matched, in a video that has begun."""
        feature = self._config.feature
        found = matched(features, feature.stage, unit_length=feature.unit_length, scale=feature.scale)
        cells = found[0].permute(1, 2, 0).contiguous()
        return cells if self._whitening is None else self._whitening(cells)


def sight(config: TrackConfig) -> tuple[object, ...]:
    """Return what decides how a frame looks to the network: trackers that agree in it may share what they see."""
    return (config.frame,)
