"""How a frame is seen: resized, encoded, and shared by trackers that are given the same one."""

from collections.abc import Callable, Collection, Hashable
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.models.inference import for_inference
from selfvos.models.kept import kept
from selfvos.models.precision import autocast, decide
from selfvos.models.segmenter import Segmenter
from selfvos.ops.guided_filter import Guide
from selfvos.tracking.framing import Framing
from selfvos.tracking.settings import FrameConfig
from selfvos.types import FrameFeatures

Made = TypeVar("Made")
Rgb = UInt8[np.ndarray, "y x 3"]


class FeatureCache:
    """What has been made of the latest frame, for trackers of one network that are given the same frames in step.

    They share what equal parts of their settings say they can: the encoded frame where `frame` is equal, its matches
    where everything that decides them is. What has been made of the frame before is forgotten.
    """

    def __init__(self, stages: Collection[str] | None = None) -> None:
        """Make an empty cache; hand it to every tracker that shall share it.

        Args:
            stages: Those of the backbone that any of them will look at; None: all.
        """
        self._stages = stages
        self._networks: tuple[Segmenter, Segmenter] | None = None
        self._frame: Rgb | None = None
        self._number = 0
        self._made: dict[Hashable, Any] = {}

    def network(self, model: Segmenter) -> Segmenter:
        """Return a network made ready for watching.

        Raises:
            UsageError: The cache serves another network.
        """
        if self._networks is None:
            self._networks = model, for_inference(model, self._stages)
        if self._networks[0] is not model:
            raise UsageError("trackers that share what they see of a frame need the same network")
        return self._networks[1]

    def number(self, frame: Rgb) -> int:
        """Return the number of a frame among all that came; whatever is not the latest one is new."""
        if frame is not self._frame:
            self._frame, self._number = frame, self._number + 1
            self._made.clear()
        return self._number

    def once(self, number: int, known: Hashable, make: Callable[[], Made]) -> Made:
        """Return what is made of a frame, made once for all that ask while it is the latest.

        Args:
            number: Of the frame.
            known: The same for two only if they would make the same.
            make: Makes it.
        """
        if number != self._number:
            return make()
        if known not in self._made:
            self._made[known] = make()
        return cast(Made, self._made[known])


class EncodedFrame:
    """A frame as the network sees it, and, from when it is first asked for, what the network says of it."""

    def __init__(
        self, encoding: "FrameEncoding", image: Float[Tensor, "1 3 y x"], framing: Framing, number: int
    ) -> None:
        """See `FrameEncoding.encode`."""
        self.image = image
        self.framing = framing
        """Sizes of the video."""
        self.number = number
        """Tells frames apart that share a cache."""
        self.prepared: Any = None
        """What its propagator made of it before its turn; see `PreparesFrames`."""
        self.guide: Guide | None = None
        """What its masks are redrawn by, if that was made before their turn."""
        self._encoding = encoding
        self._smaller: dict[float, FrameFeatures] = {}

    @cached_property
    def features(self) -> FrameFeatures:
        """What the visual encoder says of it."""
        return self.once("features", lambda: self._encoding.features(self.image))

    def smaller(self, share: float) -> FrameFeatures:
        """Return what the visual encoder says of it at a share of its size, in (0, 1), to the nearest whole cell."""
        if share not in self._smaller:
            self._smaller[share] = self.once(("features", share), lambda: self._encoding.smaller(self.image, share))
        return self._smaller[share]

    def forget_features(self) -> None:
        """Give their memory back; whoever asks for them again waits again."""
        self.__dict__.pop("features", None)
        self._smaller.clear()

    def once(self, known: Hashable, make: Callable[[], Made]) -> Made:
        """Return what is made of this frame at this size; see `FeatureCache.once`."""
        cache = self._encoding.cache
        return make() if cache is None else cache.once(self.number, (self._encoding.config, known), make)


class FrameEncoding:
    """A network made ready for watching, and the size and precision that it sees frames in."""

    def __init__(
        self,
        model: Segmenter,
        config: FrameConfig,
        cache: FeatureCache | None = None,
        *,
        stages: Collection[str] | None = None,
    ) -> None:
        """Make a network ready.

        Args:
            model: Network in evaluation mode; it is not changed.
            config: Size and precision.
            cache: Shared with whoever looks at the same frames. Without one nothing of a frame is kept: its features
                take more memory than all else that a tracker holds of it.
            stages: What will be looked at besides what V and D need: stages of the backbone, or ``key``; None: all.
                With a cache, others may look at the key, and the cache knows the stages.

        Raises:
            UsageError: The cache serves another network.
        """
        self.model = model
        """As it was given."""
        self.network = cache.network(model) if cache is not None else _ready(model, stages)
        """The same, made ready; others may use it too."""
        self.config = config
        self.cache = cache
        self._keyed = stages is None or "key" in stages or cache is not None
        self.precision = decide(config.precision, model.device)
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""

    def fit(self, frame: Rgb) -> Framing:
        """Return the sizes of the video that a frame belongs to."""
        return Framing.fit((frame.shape[0], frame.shape[1]), self.config, self.network.stride)

    def encode(self, frame: Rgb, framing: Framing) -> EncodedFrame:
        """Return a frame as the network sees it."""

        def image() -> Tensor:
            return framing.frame(frame, self.network.device)

        if self.cache is None:
            return EncodedFrame(self, image(), framing, 0)
        number = self.cache.number(frame)
        return EncodedFrame(self, self.cache.once(number, (self.config, "image"), image), framing, number)

    def features(self, image: Float[Tensor, "1 3 y x"]) -> FrameFeatures:
        """Return what the network says of a frame that is resized and padded."""
        with autocast(self.precision, image.device):
            features = self.network.encode_frame(image, keyed=self._keyed)
        stages = {name: stage.float() for name, stage in features.stages.items()}
        same = (stages[name] for name, stage in features.stages.items() if stage is features.base)
        base = next(same, None)
        return FrameFeatures(key=features.key, base=features.base.float() if base is None else base, stages=stages)

    def smaller(self, image: Float[Tensor, "1 3 y x"], share: float) -> FrameFeatures:
        """Return what the network says of a frame at a share of its size, both sides to the nearest whole cell."""
        size = [_cells(side, share, self.network.stride) for side in image.shape[2:]]
        return self.features(F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True))


def _cells(side: int, share: float, stride: int) -> int:
    return max(1, round(side * share / stride)) * stride


def _ready(model: Segmenter, stages: Collection[str] | None) -> Segmenter:
    """Return a network made ready for watching: the one of the video before, where nothing has changed."""
    known = None if stages is None else frozenset(stages)
    return kept(model, "ready", known, lambda: for_inference(model, stages))
