"""What every training signal is: a clip with its features in, named loss terms out."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfvos.registry import Registry
from selfvos.types import Clip, FrameFeatures, LossTerms, SegmenterLike

Share = Callable[[SegmenterLike], SegmenterLike]
"""Makes the processes that train together share the work of a network."""


def alone(model: SegmenterLike) -> SegmenterLike:
    """Return the network as it is, for a process that trains alone."""
    return model


class EncodedClip:
    """A clip and the network that looks at it; each plain frame is encoded at most once for all objectives."""

    def __init__(self, clip: Clip, model: SegmenterLike, share: Share = alone) -> None:
        """Take a batch of clips.

        Args:
            clip: All clips of the step.
            model: The network that learns.
            share: An objective that has a network of its own, such as a teacher, asks it through this.
        """
        self.clip = clip
        self.model = share(model)
        self.share = share
        self._features: dict[int, FrameFeatures] = {}

    @property
    def frames(self) -> Float[Tensor, "b t 3 y x"]:
        """RGB in [0, 1]."""
        return self.clip.frames

    def features(self, t: int) -> FrameFeatures:
        """Return the features of the t-th frame of every clip, with gradient."""
        if t not in self._features:
            self._features[t] = self.model.encode_frame(self.clip.frames[:, t])
        return self._features[t]

    def key(self, t: int) -> Float[Tensor, "b c h w"]:
        """Return the unit-length keys of the t-th frame of every clip, with gradient."""
        return self.features(t).key


class Objective(nn.Module, ABC):
    """A training signal: settings and learned heads around a pure loss function."""

    Config: ClassVar[type]
    """Its settings: a frozen dataclass whose fields all have defaults."""
    needs_masks: ClassVar[bool] = False
    """Whether it learns from pseudo masks."""
    system: ClassVar[str] = "memory"
    """Tracking system whose mask path it trains, where it trains one."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def attach(self, model: SegmenterLike) -> None:
        """Take what is needed of the network before the first step, such as a copy that becomes a teacher."""

    def after_step(self, model: SegmenterLike) -> None:
        """Follow the network's weights after an update: moving averages, queues. `forward` changes no state."""

    @abstractmethod
    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips.

        Args:
            clip: Frames and the network.
            generator: The only source of randomness, on the CPU; same state, same loss.

        Raises:
            ValueError: The clip has fewer frames than the objective compares.
        """


OBJECTIVES: Registry[type[Objective]] = Registry("objective", "selfvos.objectives")
